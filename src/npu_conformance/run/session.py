"""One run: from a model and a variant to the evidence its checks look at. Does everything once.

Evidence is what a run leaves in `traces/<model>/`: `subject.json`, `rendered.json` and for every variant a
`candidate` and a `reference` trace. A run `--from` such a folder starts no engine.
"""

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from npu_conformance.baselines.keeping import outdated
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.saved import keep_comparisons, load_base, load_baseline, load_evidence
from npu_conformance.config.engines import DEFAULT, engine
from npu_conformance.config.model import ModelConfig, check_remote_code, config_path
from npu_conformance.config.prompts import Prompt, load_prompts, most_prompts
from npu_conformance.config.variants import JUDGED, is_long, is_served, needs_base, scored_with
from npu_conformance.errors import ConfigError, ConformanceError, TraceError, WeightsError
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.floor import load_floor, load_quantised
from npu_conformance.report.details import save_details
from npu_conformance.report.messages import ToldErrors
from npu_conformance.run.build_twins import build_twins
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.current_baseline import bring_baseline
from npu_conformance.run.describe import describe_subject
from npu_conformance.run.judged_prompts import tell_other_prompts
from npu_conformance.run.lacking import config_of, lacking
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.once import Once
from npu_conformance.run.performance import measure, workload_of
from npu_conformance.run.preparation import Prepared, prepare, save_prepared
from npu_conformance.run.references import References
from npu_conformance.run.rows import may_drop
from npu_conformance.run.schedule import passes
from npu_conformance.run.settings import Settings
from npu_conformance.run.shares import share_of
from npu_conformance.run.subjects import check_twin, find_subject, saved_facts
from npu_conformance.traces.sealed import require_sealed, seal
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator


class Session:
    """Evidence on demand, each piece made once; what failed once fails again with the same message."""

    def __init__(self, settings: Settings, folder: Path, narrator: Narrator) -> None:
        """Args: settings: the command line's; folder: the run's report folder; narrator: tells what goes on."""
        self.settings = settings
        self.folder = folder
        self._told = ToldErrors()
        self._jobs = Jobs(folder, narrator, settings.device)
        self._selected: dict[str, tuple[str, ...]] = {}
        self._once = Once()

    def expect(self, selected: dict[str, tuple[str, ...]]) -> None:
        """Say which variants of which models the run judges, so that twins and engines can share a start.

        A session that is asked for one variant of a model is asked for all of them, also on a worker of pytest-xdist.
        """
        self._selected = selected

    def config(self, model: str) -> ModelConfig:
        """The model's config, checked against the command line (see `load_config` for errors)."""
        return self._once(("config", model), lambda: self._load_config(model))

    def why_not(self, model: str, variant: str) -> str | None:
        """Why a variant of a model cannot run here, in one line; None when it can be."""
        return self._once(("why not", model, variant), lambda: self._why_not(model, variant))

    def _why_not(self, model: str, variant: str) -> str | None:
        name = self._engine(model)
        own = variant == "base" or (engine(name).remote and is_served(variant))
        if not engine(name).serve_options and not own and self.settings.from_dir is None:
            return f"not applicable: {name} has no serve options, so {variant} would be base again"
        if self.settings.baseline == "only" and is_long(variant):
            return f"not applicable: a baseline has base's tokens, {variant} uses the suite's own long texts"
        return self.missing(model) or self._not_kept(model, variant) or self._lacking(model, variant)

    def _engine(self, model: str) -> str:
        with contextlib.suppress(ConformanceError):  # its tests will say
            return self.settings.engine_of(self._yaml(model))
        return DEFAULT

    def variants(self, model: str) -> tuple[str, ...]:
        """The variants a model is to be judged in, also where the command line does not fit it: its tests say so."""
        try:
            return self._yaml(model).variant_names
        except ConformanceError:
            return JUDGED  # its tests will say

    def work(self, model: str) -> int:
        """How much a model takes, against others: sequences of all its variants; nothing where none can be run."""
        try:
            config = self.config(model)
            prompts = self._prompts(config)
        except ConformanceError:
            return 0
        runnable = [variant for variant in self.variants(model) if self.why_not(model, variant) is None]
        return len(prompts) * len(runnable) * (1 if config.adapter is None else 2)

    def _not_kept(self, model: str, variant: str) -> str | None:
        """A variant that the run before may have skipped; base and as_served are never missing without an error."""
        kept = self.settings.from_dir
        if kept is None or variant in JUDGED or (kept / "traces" / model / variant).is_dir():
            return None
        return f"no traces of {model} in {variant} in {kept}"

    def _lacking(self, model: str, variant: str) -> str | None:
        """What this machine, or the model, lacks for a variant."""
        if self.settings.from_dir is not None or not engine(self._engine(model)).serve_options:
            return None
        try:
            return lacking(self.config(model), variant, self.settings.device, lambda: config_of(self.subject(model)))
        except ConformanceError:
            return None  # its tests will say; what cannot be read does not lack experts

    def missing(self, model: str) -> str | None:
        """Why the model cannot run here, in one line; None when its weights or traces are at hand."""
        try:
            self.subject(model)
        except WeightsError as error:
            return str(error)
        except ConformanceError:
            return None  # its tests will say
        return None

    def subject(self, model: str) -> Subject:
        """Where the model's weights are; a twin's may not be built yet."""
        return self._once(("subject", model), lambda: find_subject(model, self.config(model), self.settings))

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

    def told_once(self, model: str, variant: str) -> str | None:
        """Why there is no evidence, in full or, where that was told before, in a word; None where there is some."""
        error = self._once.error(("evidence", model, variant))
        return None if error is None else self._told.once(model, error)

    def _prompts(self, config: ModelConfig) -> list[Prompt]:
        uses = repr(config.prompts)
        return self._once(
            ("prompts", uses), lambda: load_prompts(config.prompts, self.settings.prompts_dir, self.settings.prompts)
        )

    def _yaml(self, model: str) -> ModelConfig:
        return self._once(("yaml", model), lambda: self.settings.load(model))

    def _load_config(self, model: str) -> ModelConfig:
        path, config = config_path(self.settings.configs, model), self._yaml(model)
        if self.settings.from_dir is None:
            check_remote_code(config, path, self.settings.trust_remote_code)
            self._prompts(config)
            if self.settings.candidate_adapter is not None and config.adapter is None:
                raise ConfigError(f"{path}: adapter: missing, --candidate-adapter has nothing to be compared with")
        if self.settings.twin_recipe is not None:
            config = config.model_copy(update={"twin": self.settings.twin_recipe})
        check_twin(config, path)
        return config

    def _collect(self, model: str, variant: str) -> Evidence:
        config = self.config(model)
        if self.settings.from_dir is not None:
            traces = self.settings.from_dir / "traces" / model
            say, folder = self._jobs.narrator.say, self.settings.prompts_dir
            self._require_sealed(model, variant, traces)
            self._once(("prompts told", model), lambda: tell_other_prompts(model, config, folder, traces, say))
        else:
            traces = self.folder / "traces" / model
            self._run(config, model, variant)
            if variant == "as_served" and (workload := workload_of(config, self.settings)) is not None:
                measure(self.model_run(model), config, self.settings, workload)
            seal(traces)
        facts = saved_facts(traces / "subject.json", config).model_dump(mode="json")
        saved = self._once(("baseline", model), lambda: load_baseline(traces))
        why = None if saved is None else outdated(saved, facts)
        baseline = saved if why is None else None
        base = self._once(("base", model), lambda: load_base(traces, baseline)) if needs_base(variant) else None
        scored = scored_with(variant)
        floor = self._once(("floor", model, scored), lambda: load_floor(traces / scored))
        quantised = self._once(("quantised", model, scored), lambda: load_quantised(traces / scored))
        share = share_of(variant, self._judged)
        if baseline is not None and variant == "base":
            share /= 2  # what it is to the reference, and what became of it since the baseline
        evidence = load_evidence(
            traces,
            variant,
            config,
            base=base,
            noise=floor,
            quantised=quantised,
            baseline=baseline,
            outdated=why,
            replacing=self.settings.baseline == "update",
            false_alarms=share,
            prompts_there=most_prompts(config.prompts, self.settings.prompts_dir),
        )
        # Traces that cannot be compared have no details; the checks say why.
        with contextlib.suppress(TraceError):
            save_details(self.folder, model, facts, evidence)
        if self.settings.drops_rows and may_drop(variant, evidence.candidate):
            keep_comparisons(traces, evidence)
            seal(traces)
        return evidence

    def _require_sealed(self, model: str, variant: str, traces: Path) -> None:
        """Refuse saved traces that were changed, those of a variant once."""
        for part in {variant, scored_with(variant), *(["base"] if needs_base(variant) else [])}:
            self._once(("sealed", model, part), partial(require_sealed, traces, [part]))

    @property
    def _judged(self) -> list[str]:
        """Variants of models that share the run's false alarms."""
        pairs = [(model, variant) for model, variants in self._selected.items() for variant in variants]
        return [variant for model, variant in pairs if self.why_not(model, variant) is None]

    def model_run(self, model: str) -> ModelRun:
        """The engines and the reference of a model, its weights made ready.

        Raises:
            ConformanceError: they could not be.
        """
        return self._once(("model_run", model), lambda: self._make_ready(model))

    def _make_ready(self, model: str) -> ModelRun:
        config, subject, traces = self.config(model), self.subject(model), self.folder / "traces" / model
        prepared = self._prepare(config, subject, traces)
        given = bring_baseline(self.settings, subject, traces)
        if self.settings.tokens is not None:
            given = self.settings.tokens / "traces" / model / "base" / "candidate"
        return ModelRun(
            traces,
            prepared,
            Candidates(config, subject, prepared, traces, self.settings, self._jobs, given),
            References(config, subject, prepared, self.settings, self._jobs),
        )

    def _run(self, config: ModelConfig, model: str, variant: str) -> None:
        """Leave the traces of a variant, and with its candidate those of all selected variants of the model."""
        run = self.model_run(model)
        scored = passes(config, (variant,), quantised=run.prepared.quantised) if self.settings.scores else ()
        with contextlib.ExitStack() as stack:
            if scored and scored[0].variant == variant and not run.candidates.ran(variant):
                stack.enter_context(run.references.ahead(run.traces / variant, scored[0].runs))
            run.candidates.make(variant, self._group(model, variant))
            for one in scored:
                score = partial(run.references.score, run.traces / one.variant, one.runs)
                self._once(("scored", model, one.variant, one.name), score)

    def _group(self, model: str, variant: str) -> tuple[str, ...]:
        """The variants whose candidates are run when one is asked for: all that are selected and can run."""
        if variant not in self._selected.get(model, ()):
            return (variant,)
        return tuple(one for one in self._selected[model] if self.why_not(model, one) is None)

    def _prepare(self, config: ModelConfig, subject: Subject, traces: Path) -> Prepared:
        """Build the twin and make the weights ready, once a model."""
        if config.recipe is not None and subject.kind == "twin":
            group = tuple(self._selected) if subject.name in self._selected else (subject.name,)
            problems = self._once(("twins", *group), lambda: self._build_twins(group))
            if config.recipe in problems:
                raise problems[config.recipe]
        prepared = prepare(
            config,
            subject,
            self._prompts(config),
            traces,
            self._jobs,
            scored=self.settings.scores,
            candidate_adapter=self.settings.candidate_adapter,
        )
        save_prepared(prepared, traces)
        own = bool(self.settings.candidate_weights or self.settings.candidate_adapter)
        write_json(traces / "subject.json", describe_subject(subject, config, prepared, own=own))
        return prepared

    def _build_twins(self, models: Sequence[str]) -> dict[str, ConformanceError]:
        recipes = []
        for model in models:
            with contextlib.suppress(ConformanceError):  # its own tests will say
                self.subject(model)
                recipes.append(self.config(model).recipe)
        settings = self.settings
        return build_twins([recipe for recipe in recipes if recipe], self._jobs, settings.reference_python)
