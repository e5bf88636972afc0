"""One run: from a model and a variant to the evidence its checks look at. Does everything once.

Evidence is what a run leaves in `traces/<model>/`: `subject.json`, `rendered.json` and for every variant a
`candidate` and a `reference` trace. A run `--from` such a folder starts no engine.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import FileLock

from npu_conformance.checkpoints.inspect import Checkpoint, inspect
from npu_conformance.config import ModelConfig, check_remote_code, config_path, load_config
from npu_conformance.engines.job import CandidateJob, Job, ReferenceJob, RenderJob, TwinJob
from npu_conformance.engines.rendering import Rendered, check_token_ids, load_rendered
from npu_conformance.engines.supervise import run_job
from npu_conformance.errors import ConfigError, ConformanceError, TraceError, WeightsError
from npu_conformance.evidence import Evidence
from npu_conformance.plan import reference_cost, refuse_what_cannot_fit
from npu_conformance.progress import Narrator
from npu_conformance.prompts import load_prompts
from npu_conformance.report.details import describe_subject, save_details
from npu_conformance.storage import cache_dir, write_json
from npu_conformance.subject import Subject, find_weights, folder_digest
from npu_conformance.trace import load_trace
from npu_conformance.twins import RECIPES, find_recipe, recipe_digest
from npu_conformance.variants import engine_options

_TWIN_DEADLINE = 1800
_RENDER_DEADLINE = 300
# Inline, so that the schedule is not a race between processes; see docs/how-it-works.md.
_ENGINE_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
# The reference stays off the accelerator even where its plugin would load itself into torch.
_REFERENCE_ENVIRONMENT = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "HF_HUB_OFFLINE": "1"}
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    configs: Path
    """Folder of model configs."""
    twin: bool = False
    models_root: Path | None = None
    candidate: Literal["vllm", "transformers"] = "vllm"
    device: Literal["npu", "cuda", "cpu"] | None = None
    candidate_weights: Path | None = None
    prompts: int | None = None
    from_dir: Path | None = None
    """Judge the traces of this report folder instead of running engines."""
    reference_python: Path | None = None
    trust_remote_code: bool = False
    deadline: float | None = None
    """Seconds a job may take; the config's own when None."""

    def words(self) -> list[str]:
        """The command line's words for these settings, where they differ from the default."""
        words = ["--twin"] if self.twin else []
        words += ["--trust-remote-code"] if self.trust_remote_code else []
        for option, value, default in (
            ("--models-root", self.models_root, None),
            ("--candidate", self.candidate, "vllm"),
            ("--device", self.device, None),
            ("--candidate-weights", self.candidate_weights, None),
            ("--prompts", self.prompts, None),
            ("--from", self.from_dir, None),
            ("--reference-python", self.reference_python, None),
            ("--deadline", self.deadline, None),
        ):
            words += [f"{option}={value}"] if value != default else []
        return words

    @property
    def prompts_dir(self) -> Path:
        """Folder of prompt sets."""
        return self.configs / "prompts"


class Session:
    """Evidence on demand, each piece made once; what failed once fails again with the same message."""

    def __init__(self, settings: Settings, folder: Path, narrator: Narrator) -> None:
        """Args: settings: the command line's; folder: the run's report folder; narrator: tells what goes on."""
        self.settings = settings
        self.folder = folder
        self._narrator = narrator
        self._made: dict[tuple[str, ...], Any] = {}

    def config(self, model: str) -> ModelConfig:
        """The model's config, checked against the command line (see `load_config` for errors)."""
        return self._once(("config", model), lambda: self._load_config(model))

    def why_not(self, model: str, variant: str) -> str | None:
        """Why a variant of a model is not judged in this run, in one line; None when it can be."""
        if self.settings.candidate == "transformers" and variant != "base" and self.settings.from_dir is None:
            return f"not applicable: transformers has no serve options, so {variant} would be base again"
        return self.missing(model)

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
        if not settings.twin:
            reference = find_weights(config.reference_model, settings.models_root)
            candidate = settings.candidate_weights or find_weights(config.model, settings.models_root)
            return Subject(model, "real", candidate, reference)
        if config.twin is None:
            raise WeightsError(
                f"{model} has no twin: name a recipe in its YAML (twin: {' | '.join(RECIPES)}), or run its real weights"
            )
        folder = cache_dir() / "twins" / f"{config.twin}-{recipe_digest(config.twin, settings.prompts_dir)}"
        return Subject(model, "twin", settings.candidate_weights or folder, folder)

    def _collect(self, model: str, variant: str) -> Evidence:
        config, subject = self.config(model), self.subject(model)
        if self.settings.from_dir is not None:
            traces = self.settings.from_dir / "traces" / model
        else:
            traces = self.folder / "traces" / model
            self._run(config, subject, variant, traces)
        candidate = load_trace(traces / variant / "candidate")
        evidence = Evidence(
            variant=variant,
            config=config,
            prompts=load_rendered(traces / "rendered.json").prompts,
            candidate=candidate,
            reference=load_trace(traces / variant / "reference"),
        )
        facts = _saved_json(traces / "subject.json")
        # Traces that cannot be compared have no details; the checks say why.
        with contextlib.suppress(TraceError):
            save_details(self.folder, model, facts, evidence)
        return evidence

    def _run(self, config: ModelConfig, subject: Subject, variant: str, traces: Path) -> None:
        candidate_files, reference_files = self._prepare(config, subject, traces)
        folder = traces / variant
        environment = {**_ENGINE_ENVIRONMENT, **config.envs}
        if subject.kind == "twin":
            # A twin's whole KV cache fits into 1 GiB; vLLM would take 4 GiB or more on a CPU.
            environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        self._job(
            CandidateJob(
                output=folder / "candidate",
                engine=self.settings.candidate,
                checkpoint=candidate_files.folder,
                rendered=traces / "rendered.json",
                chat_template_kwargs=config.chat_template_kwargs,
                options=engine_options(config.serve, variant),
                max_tokens=config.max_tokens,
                device=self.settings.device,
                trust_remote_code=config.serve.trust_remote_code,
            ),
            f"{subject.name} {variant}",
            self.settings.deadline or config.deadline,
            environment=environment,
        )
        self._score(config, subject, reference_files, folder / "candidate")

    def _plan(self, config: ModelConfig, files: Checkpoint, rendered: Rendered) -> None:
        """Say what the reference will cost at most, and refuse what cannot fit before any engine starts."""
        cost = reference_cost(files, [(len(ids), config.max_tokens) for ids in rendered.prompt_ids])
        refuse_what_cannot_fit(cost, self._references)
        self._narrator.say(str(cost))

    @property
    def _references(self) -> Path:
        return cache_dir() / "references"

    def _score(self, config: ModelConfig, subject: Subject, files: Checkpoint, candidate: Path) -> None:
        self._job(
            ReferenceJob(
                output=candidate.parent / "reference",
                checkpoint=files.folder,
                checkpoint_digest=folder_digest(files.folder),
                candidate=candidate,
                rendered=candidate.parent.parent / "rendered.json",
                attn_implementation=config.reference.attn_implementation,
                cache=self._references,
                trust_remote_code=config.serve.trust_remote_code,
            ),
            f"{subject.name} {candidate.parent.name}: reference",
            self.settings.deadline or config.deadline,
            environment=_REFERENCE_ENVIRONMENT,
            python=self.settings.reference_python,
        )

    def _prepare(self, config: ModelConfig, subject: Subject, traces: Path) -> tuple[Checkpoint, Checkpoint]:
        """Build the twin, inspect the weights and render the prompts, once a model."""
        return self._once(("prepared", subject.name), lambda: self._do_prepare(config, subject, traces))

    def _do_prepare(self, config: ModelConfig, subject: Subject, traces: Path) -> tuple[Checkpoint, Checkpoint]:
        if subject.kind == "twin":
            self._build_twin(config.twin or "", subject.reference)
        reference = inspect(subject.reference)
        candidate = reference if subject.candidate == subject.reference else inspect(subject.candidate)
        rendered = traces / "rendered.json"
        job = RenderJob(
            output=rendered,
            checkpoint=subject.reference,
            prompts=tuple(load_prompts(config.prompts, self.settings.prompts_dir, self.settings.prompts)),
            chat_template_kwargs=config.chat_template_kwargs,
            trust_remote_code=config.serve.trust_remote_code,
        )
        self._job(job, f"{subject.name}: prompts", _RENDER_DEADLINE, environment=_REFERENCE_ENVIRONMENT)
        check_token_ids(reference, load_rendered(rendered))
        self._plan(config, reference, load_rendered(rendered))
        write_json(traces / "subject.json", describe_subject(subject, config, candidate))
        return candidate, reference

    def _build_twin(self, recipe: str, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if (folder / "twin.json").is_file():
                return
            shutil.rmtree(folder, ignore_errors=True)
            self._job(
                TwinJob(output=folder, recipe=recipe, prompts_dir=self.settings.prompts_dir),
                f"twin {recipe}: training",
                _TWIN_DEADLINE,
                environment=_REFERENCE_ENVIRONMENT,
            )

    def _job(
        self,
        job: Job,
        name: str,
        deadline: float,
        *,
        environment: dict[str, str],
        python: Path | None = None,
    ) -> None:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        workdir = Path(tempfile.mkdtemp(dir=logs, prefix=name.replace(" ", "-").replace(":", "") + "-"))
        with self._narrator.job(name) as observe:
            run_job(
                job,
                name=name,
                workdir=workdir,
                deadline=deadline,
                environment=environment,
                python=python,
                observe=observe,
            )


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
