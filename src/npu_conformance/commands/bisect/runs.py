"""The engines a bisection starts: base's tokens forced with combinations of features, each combination once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE, merged, no_effect, served_features, signs_of
from npu_conformance.engines.hidden import HOOK_ROWS
from npu_conformance.errors import ConfigError, JobError, TraceError
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.schedule import passes
from npu_conformance.traces.layers import Layers
from npu_conformance.traces.trace import Trace, load_trace
from npu_conformance.workers.job import CandidateJob, Watched
from npu_conformance.workers.jobs import Jobs

# The hook's memory on the device, and the tokens of a forward pass that fit into it for most models.
_HOOK_BYTES = 2**30
_HOOK_ROWS = range(256, 8192)


def features_of(config: ModelConfig, variants: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What may be at fault: the options of each variant, or one by one those in which `as_served` differs from base.

    Raises:
        ConfigError: a variant is unknown, or does not take base's tokens.
    """
    if list(variants) in ([], ["as_served"]):
        return served_features(config.serve)
    for name in variants:
        known = CATALOGUE.get(name)
        if known is None and not config.changes(name) and not config.changed_envs(name):
            raise ConfigError(f"{name}: unknown variant (variants: {', '.join(CATALOGUE)}, and the config's own)")
        if known is not None and (known.tokens_only or known.long):
            raise ConfigError(f"{name}: does not take base's tokens, so there is no position to find")
    return {name: config.changes(name) for name in variants}


class Runs:
    """Traces of a model with features on, each made when it is first asked for."""

    def __init__(
        self, config: ModelConfig, model_run: ModelRun, jobs: Jobs, deadline: float, features: dict[str, dict[str, Any]]
    ) -> None:
        """Args: features: what each changes of base; the others as in a session."""
        self._config = config
        self._model_run = model_run
        self._jobs = jobs
        self._deadline = deadline
        self.features = features
        self.starts = 0
        """Engines started."""

    @property
    def base(self) -> Trace:
        """The base variant's candidate, whose tokens are forced."""
        return load_trace(self._model_run.traces / "base" / "candidate")

    def make_base(self) -> None:
        """Run base, and have the reference score it (see `run_job` for what it raises)."""
        run, base = self._model_run, self._model_run.traces / "base"
        first, *_ = passes(self._config, ("base",), quantised=run.prepared.quantised)
        with run.references.ahead(base, first.runs):
            run.candidates.make("base", ())
            self.starts += 1
            run.references.score(base, first.runs)

    def fails(self, of_base: Evidence, subset: frozenset[str]) -> bool:
        """Whether base with these features is further from base than a variant may be.

        A combination that no engine can be started with does not fail: it says nothing (ddmin's "unresolved").

        Raises:
            ConformanceError: no engine can be started with all features.
        """
        if not subset:
            return False  # base itself, which was found to hold
        try:
            evidence = self.evidence(of_base, subset)
        except JobError:
            if len(subset) == len(self.features):
                raise
            return False
        return any(check.verdict in ("fail", "error") for check in CHECKS["variant_closeness"].judge(evidence))

    def evidence(self, of_base: Evidence, subset: frozenset[str]) -> Evidence:
        """A combination as the evidence on a variant."""
        return replace(of_base, variant=name_of(subset), candidate=self.forced(subset), base=of_base.pair)

    def without_effect(self) -> str | None:
        """Why the combination of all features says nothing of one of them; None where each took effect."""
        together = frozenset(self.features)
        for name, options in self.features.items():
            if (why := no_effect(options, signs_of(name, options), self.forced(together).provenance)) is not None:
                return f"{name}: {why}"
        return None

    def forced(self, subset: frozenset[str]) -> Trace:
        """Base's tokens forced with features on."""
        return self._run(subset, self._model_run.traces / name_of(subset), ())

    def states(self, subset: frozenset[str], watched: Sequence[Watched], again: str = "") -> tuple[Trace, Layers]:
        """The same with a hook in the model: the trace, and hidden states at the watched positions."""
        folder = self._model_run.traces / f"{name_of(subset)} hooked{again}"
        trace = self._run(subset, folder, tuple(watched))
        layers = trace.layers()
        if layers is None:
            raise TraceError(f"{trace.folder}: holds no hidden states")
        return trace, layers

    def _run(self, subset: frozenset[str], folder: Path, watched: tuple[Watched, ...]) -> Trace:
        job = self._job(subset, folder / "candidate", watched)
        if not job.output.is_dir():
            environment = self._model_run.candidates.environment(job.options, envs=self._envs(subset))
            if watched:
                environment |= {HOOK_ROWS: str(self._rows())}
            self.starts += 1
            try:
                self._jobs.run(job, f"bisect: {folder.name}", self._deadline, environment=environment)
            except JobError:
                if not job.output.is_dir():  # else it ended while closing, and its trace is whole
                    raise
        return load_trace(job.output)

    def _job(self, subset: frozenset[str], output: Path, watched: tuple[Watched, ...]) -> CandidateJob:
        options = self._config.options("base")
        for name in sorted(subset):
            options = merged(options, self.features[name])
        tight = any(known.tight_cache for name in subset if (known := CATALOGUE.get(name)))
        envs = self._envs(subset)
        return self._model_run.candidates.forced(output, options, envs=envs, tight_cache=tight, watched=watched)

    def _envs(self, subset: frozenset[str]) -> dict[str, str]:
        """Environment variables of a combination; two that set one take it in order of their names, as of options."""
        return {name: value for one in sorted(subset) for name, value in self._config.changed_envs(one).items()}

    def _rows(self) -> int:
        text = self._model_run.prepared.candidate.text_config
        row = 4 * int(text["hidden_size"]) * (int(text["num_hidden_layers"]) + 2)
        return int(np.clip(_HOOK_BYTES // row, _HOOK_ROWS.start, _HOOK_ROWS.stop))


def name_of(subset: frozenset[str]) -> str:
    """A combination for people and for folders."""
    return "+".join(sorted(subset)) or "base again"
