"""One run: from a model and a variant to the evidence its checks look at. Does everything once.

Evidence is what a run leaves in `traces/<model>/`: `subject.json`, `rendered.json` and for every variant a
`candidate` and a `reference` trace. A run `--from` such a folder starts no engine.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from npu_conformance.checkpoints.lora import lora_options
from npu_conformance.config import ModelConfig, check_remote_code, config_path, load_config
from npu_conformance.devices import cpu_binding, find_devices
from npu_conformance.engines.job import CandidateJob, ReferenceJob
from npu_conformance.errors import ConfigError, ConformanceError, TraceError, WeightsError
from npu_conformance.evidence import Evidence, load_evidence
from npu_conformance.limits import Dtype
from npu_conformance.progress import Narrator
from npu_conformance.prompts import load_prompts
from npu_conformance.report.details import describe_subject, save_details
from npu_conformance.run.jobs import OFF_DEVICE, Jobs
from npu_conformance.run.nursery import build_twins, twin_folder
from npu_conformance.run.preparation import Prepared, prepare
from npu_conformance.run.settings import Settings
from npu_conformance.storage import cache_dir, write_json, write_text
from npu_conformance.subject import Subject, find_weights, folder_digest
from npu_conformance.twins import RECIPES, Adapted, find_recipe
from npu_conformance.variants import JUDGED, engine_options, ranks

# Inline, so that the schedule is not a race between processes; see docs/how-it-works.md.
_ENGINE_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
# Prompts whose hidden states are compared layer by layer.
_LAYER_PROMPTS = 8
T = TypeVar("T")


class Session:
    """Evidence on demand, each piece made once; what failed once fails again with the same message."""

    def __init__(self, settings: Settings, folder: Path, narrator: Narrator) -> None:
        """Args: settings: the command line's; folder: the run's report folder; narrator: tells what goes on."""
        self.settings = settings
        self.folder = folder
        self._jobs = Jobs(folder, narrator)
        self._selected: tuple[str, ...] = ()
        self._made: dict[tuple[str, ...], Any] = {}

    def expect(self, models: Sequence[str]) -> None:
        """Say which models the run will ask for, so that their twins can be built side by side."""
        self._selected = tuple(models)

    def config(self, model: str) -> ModelConfig:
        """The model's config, checked against the command line (see `load_config` for errors)."""
        return self._once(("config", model), lambda: self._load_config(model))

    def why_not(self, model: str, variant: str) -> str | None:
        """Why a variant of a model is not judged in this run, in one line; None when it can be."""
        if self.settings.candidate == "transformers" and variant != "base" and self.settings.from_dir is None:
            return f"not applicable: transformers has no serve options, so {variant} would be base again"
        return self.missing(model) or self._not_kept(model, variant) or self._too_few_devices(model, variant)

    def variants(self, model: str) -> tuple[str, ...]:
        """The variants a model is to be judged in."""
        try:
            return (*JUDGED, *self.config(model).variants)
        except ConformanceError:
            return JUDGED  # its tests will say

    def _not_kept(self, model: str, variant: str) -> str | None:
        """A variant that the run before may have skipped; base and as_served are never missing without an error."""
        kept = self.settings.from_dir
        if kept is None or variant in JUDGED or (kept / "traces" / model / variant).is_dir():
            return None
        return f"no traces of {model} in {variant} in {kept}"

    def _too_few_devices(self, model: str, variant: str) -> str | None:
        if self.settings.from_dir is not None or self.settings.candidate == "transformers":
            return None
        try:
            needed = ranks(engine_options(self.config(model).serve, variant))
        except ConformanceError:
            return None  # its tests will say
        platform, there = find_devices(self.settings.device)
        if needed <= there:
            return None
        return f"{variant} needs {needed} devices, {there} of platform {platform} {'is' if there == 1 else 'are'} here"

    def missing(self, model: str) -> str | None:
        """Why the model cannot run here, in one line; None when its weights or traces are at hand."""
        try:
            self.subject(model)
        except (WeightsError, TraceError) as error:
            return str(error)
        except ConformanceError:
            return None  # its tests will say
        return None

    def subject(self, model: str) -> Subject:
        """Where the model's weights are; a twin's may not be built yet."""
        return self._once(("subject", model), lambda: self._find(model))

    def kind(self, model: str) -> Literal["real", "twin"]:
        """`twin` or `real`, also of a model that could not be judged."""
        try:
            return self.subject(model).kind
        except ConformanceError:
            return "twin" if self.settings.twin else "real"

    def evidence(self, model: str, variant: str) -> Evidence:
        """Candidate and reference of one variant, from engines or from saved traces.

        Raises:
            ConformanceError: any part of the way there failed, with the message for the user.
        """
        return self._once(("evidence", model, variant), lambda: self._collect(model, variant))

    def _once(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        if key not in self._made:
            try:
                self._made[key] = make()
            except ConformanceError as error:
                self._made[key] = error
        value = self._made[key]
        if isinstance(value, ConformanceError):
            raise value
        made: T = value
        return made

    def _load_config(self, model: str) -> ModelConfig:
        path = config_path(self.settings.configs, model)
        config = load_config(path)
        if self.settings.from_dir is None:
            check_remote_code(config, path, self.settings.trust_remote_code)
            load_prompts(config.prompts, self.settings.prompts_dir, self.settings.prompts)
            if self.settings.candidate_adapter is not None and config.adapter is None:
                raise ConfigError(f"{path}: adapter: missing, --candidate-adapter has nothing to be compared with")
        check_twin(config, path)
        return config

    def _find(self, model: str) -> Subject:
        config, settings = self.config(model), self.settings
        if settings.from_dir is not None:
            saved = settings.from_dir / "traces" / model / "subject.json"
            if not saved.is_file():
                raise TraceError(f"no traces of {model} in {settings.from_dir}: run it without --from")
            kind = _saved_json(saved)["kind"]
            return Subject(model, kind, saved.parent, saved.parent)
        return self._twin(model, config) if settings.twin else self._real(model, config)

    def _real(self, model: str, config: ModelConfig) -> Subject:
        root = self.settings.models_root
        reference = find_weights(config.reference_model, root)
        adapter = None if config.adapter is None else find_weights(config.adapter, root, "adapter_config.json")
        candidate = self.settings.candidate_weights
        if candidate is None and config.convert is None:
            candidate = find_weights(config.model, root)
        return Subject(model, "real", reference, candidate, adapter)

    def _twin(self, model: str, config: ModelConfig) -> Subject:
        if config.twin is None:
            raise WeightsError(
                f"{model} has no twin: name a recipe in its YAML (twin: {' | '.join(RECIPES)}), or run its real weights"
            )
        recipe = find_recipe(config.twin)
        folder, adapter = twin_folder(config.twin, self.settings.prompts_dir), None
        if isinstance(recipe, Adapted):
            folder, adapter = twin_folder(recipe.base, self.settings.prompts_dir), folder
        candidate = None if config.convert is not None else folder
        return Subject(model, "twin", folder, self.settings.candidate_weights or candidate, adapter)

    def _collect(self, model: str, variant: str) -> Evidence:
        config, subject = self.config(model), self.subject(model)
        if self.settings.from_dir is not None:
            traces = self.settings.from_dir / "traces" / model
        else:
            traces = self.folder / "traces" / model
            self._run(config, subject, variant, traces)
        evidence = load_evidence(traces, variant, config)
        facts = _saved_json(traces / "subject.json")
        # Traces that cannot be compared have no details; the checks say why.
        with contextlib.suppress(TraceError):
            save_details(self.folder, model, facts, evidence)
        return evidence

    def _run(self, config: ModelConfig, subject: Subject, variant: str, traces: Path) -> None:
        prepared = self._once(("prepared", subject.name), lambda: self._prepare(config, subject, traces))
        folder = traces / variant
        environment = {**_ENGINE_ENVIRONMENT, **config.envs}
        if subject.kind == "twin":
            # A twin's whole KV cache fits into 1 GiB; vLLM would take 4 GiB or more on a CPU.
            environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        options = engine_options(config.serve, variant)
        adapter = self.settings.candidate_adapter or prepared.adapter
        if adapter is not None:
            options = lora_options(adapter) | options
        if ranks(options) > 1 and find_devices(self.settings.device)[0] == "cpu":
            environment = cpu_binding(ranks(options)) | environment
        self._jobs.run(
            CandidateJob(
                output=folder / "candidate",
                engine=self.settings.candidate,
                checkpoint=prepared.candidate.folder,
                adapter=adapter,
                rendered=traces / "rendered.json",
                layer_prompts=_LAYER_PROMPTS if variant == "base" else 0,
                chat_template_kwargs=config.chat_template_kwargs,
                options=options,
                max_tokens=config.max_tokens,
                device=self.settings.device,
                trust_remote_code=config.serve.trust_remote_code,
            ),
            f"{subject.name} {variant}",
            self.settings.deadline or config.deadline,
            environment=environment,
        )
        self._score(config, subject, prepared, folder, "reference", "float32")
        if config.reference.also is not None:
            self._score(config, subject, prepared, folder, "second_reference", config.reference.also)

    def _score(
        self, config: ModelConfig, subject: Subject, prepared: Prepared, folder: Path, name: str, dtype: Dtype
    ) -> None:
        job = ReferenceJob(
            output=folder / name,
            checkpoint=prepared.reference.folder,
            checkpoint_digest=folder_digest(prepared.reference.folder),
            adapter=prepared.adapter,
            adapter_digest=None if prepared.adapter is None else folder_digest(prepared.adapter),
            dtype=dtype,
            candidate=folder / "candidate",
            rendered=folder.parent / "rendered.json",
            attn_implementation=config.reference.attn_implementation,
            cache=cache_dir() / "references",
            trust_remote_code=config.serve.trust_remote_code,
        )
        self._jobs.run(
            job,
            f"{subject.name} {folder.name}: {name.replace('_', ' ')}",
            self.settings.deadline or config.deadline,
            environment=OFF_DEVICE,
            python=self.settings.reference_python,
        )

    def _prepare(self, config: ModelConfig, subject: Subject, traces: Path) -> Prepared:
        """Build the twin and make the weights ready, once a model."""
        if config.twin is not None and subject.kind == "twin":
            group = self._selected if subject.name in self._selected else (subject.name,)
            problems = self._once(("twins", *group), lambda: self._build_twins(group))
            if config.twin in problems:
                raise problems[config.twin]
        prompts = load_prompts(config.prompts, self.settings.prompts_dir, self.settings.prompts)
        prepared = prepare(config, subject, prompts, traces, self._jobs)
        write_text(traces / "scan.json", prepared.scan.model_dump_json(indent=1))
        if prepared.audit is not None:
            write_text(traces / "audit.json", prepared.audit.model_dump_json(indent=1))
        write_json(traces / "subject.json", describe_subject(subject, config, prepared))
        return prepared

    def _build_twins(self, models: Sequence[str]) -> dict[str, ConformanceError]:
        recipes = []
        for model in models:
            with contextlib.suppress(ConformanceError):  # its own tests will say
                recipes.append(self.config(model).twin)
        return build_twins([recipe for recipe in recipes if recipe], self.settings.prompts_dir, self._jobs)


def check_twin(config: ModelConfig, path: Path) -> None:
    """Refuse a twin that no recipe makes.

    Raises:
        ConfigError: the config names one.
    """
    if config.twin is not None:
        try:
            find_recipe(config.twin)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def _saved_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TraceError(f"{path}: cannot be read: {error}; run the model again") from error
    if not isinstance(content, dict) or content.get("kind") not in ("real", "twin"):
        raise TraceError(f"{path}: does not say of what kind its subject is; run the model again")
    return content
