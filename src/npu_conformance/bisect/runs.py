"""The engines a bisection starts: base's tokens walked with combinations of features, each combination once."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.bisect.position import largest
from npu_conformance.config import ModelConfig
from npu_conformance.engines.hidden import TAP_ROWS
from npu_conformance.engines.job import CandidateJob, WalkPart, Watched
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.evidence import Pair
from npu_conformance.figures import observe
from npu_conformance.limits import CLOSENESS_FIGURES, VARIANT_SPREAD
from npu_conformance.run.jobs import Jobs
from npu_conformance.run.session import Workshop
from npu_conformance.trace import COLD, PROBES, Layers, Trace, load_trace
from npu_conformance.variants import CATALOGUE, merged, served_features

# The tap's memory on the device, and the tokens of a forward pass that fit into it for most models.
_TAP_BYTES = 2**30
_TAP_ROWS = range(256, 8192)


def features_of(config: ModelConfig, variants: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What may be at fault: the options of each variant, or one by one those in which `as_served` differs from base.

    Raises:
        ConfigError: a variant is unknown, or does not walk base's tokens.
    """
    if list(variants) in ([], ["as_served"]):
        return served_features(config.serve)
    for name in variants:
        known = CATALOGUE.get(name)
        if known is None and not config.changes(name):
            raise ConfigError(f"{name}: unknown variant (variants: {', '.join(CATALOGUE)}, and the config's own)")
        if known is not None and (known.tokens_only or known.long):
            raise ConfigError(f"{name}: does not walk base's tokens, so there is no position to find")
    return {name: config.changes(name) for name in variants}


class Runs:
    """Traces of a model with features on, each made when it is first asked for."""

    def __init__(
        self, config: ModelConfig, workshop: Workshop, jobs: Jobs, deadline: float, features: dict[str, dict[str, Any]]
    ) -> None:
        """Args: features: what each changes of base; the others as in a session."""
        self._config = config
        self._workshop = workshop
        self._jobs = jobs
        self._deadline = deadline
        self._features = features
        self.starts = 0
        """Engines started."""

    @property
    def base(self) -> Trace:
        """The base variant's candidate, whose tokens are walked."""
        return load_trace(self._workshop.traces / "base" / "candidate")

    def make_base(self) -> None:
        """Run base, and have the reference score it (see `run_job` for what it raises)."""
        self._workshop.candidates.make("base", ())
        self.starts += 1
        self._workshop.references.score(self._workshop.traces / "base", "reference", "float32")

    def fails(self, subset: frozenset[str]) -> bool:
        """Whether base with these features leaves base's logits by more than the limits allow."""
        if not subset:
            return False  # base itself, which was found to hold
        return any(
            breaks(pair, self._config) or not largest(pair.comparison.values["relative_l2"]) <= self._most
            for pair in self.pairs(subset).values()
        )

    @cached_property
    def _most(self) -> float:
        """The largest distance from base that variants may have."""
        base = Pair(self.base, load_trace(self._workshop.traces / "base" / "reference"), self.base)
        return VARIANT_SPREAD * largest(base.comparison.values["relative_l2"])

    def pairs(self, subset: frozenset[str]) -> dict[WalkPart, Pair]:
        """A combination against base, by part of the trace."""
        trace, base = self.walked(subset), self.base
        reference = load_trace(self._workshop.traces / "base" / "reference")
        sides = (name_of(subset), "base")
        found: dict[WalkPart, Pair] = {"answers": Pair(trace, base, reference, sides)}
        probes, cuts = trace.part(PROBES), base.part(PROBES)
        if probes is not None and cuts is not None and probes.answers:
            found["probes"] = Pair(probes, cuts, reference, sides)
        if (cold := trace.part(COLD)) is not None:
            found["cold"] = Pair(cold, base, reference, sides)
        return found

    def walked(self, subset: frozenset[str]) -> Trace:
        """Base's tokens walked with features on."""
        return self._run(subset, self._workshop.traces / name_of(subset), ())

    def states(self, subset: frozenset[str], watched: Sequence[Watched], again: str = "") -> tuple[Trace, Layers]:
        """The same with a tap in the model: the trace, and hidden states at the watched positions."""
        folder = self._workshop.traces / f"{name_of(subset)} tapped{again}"
        trace = self._run(subset, folder, tuple(watched))
        layers = trace.layers()
        if layers is None:
            raise TraceError(f"{trace.folder}: holds no hidden states")
        return trace, layers

    def _run(self, subset: frozenset[str], folder: Path, watched: tuple[Watched, ...]) -> Trace:
        job = self._job(subset, folder / "candidate", watched)
        if not job.output.is_dir():
            environment = self._workshop.candidates.environment(job.options)
            if watched:
                # Code that was compiled without the tap would be taken from the cache.
                environment |= {TAP_ROWS: str(self._rows()), "VLLM_DISABLE_COMPILE_CACHE": "1"}
            self.starts += 1
            self._jobs.run(job, f"bisect: {folder.name}", self._deadline, environment=environment)
        return load_trace(job.output)

    def _job(self, subset: frozenset[str], output: Path, watched: tuple[Watched, ...]) -> CandidateJob:
        options = self._workshop.candidates.job("base").options
        for name in sorted(subset):
            options = merged(options, self._features[name])
        return self._workshop.candidates.job("base").model_copy(
            update={
                "output": output,
                "walks": self._workshop.traces / "base" / "candidate",
                # vLLM's own default is a cache that is on.
                "manner": "walk warm" if options.get("enable_prefix_caching", True) else "walk",
                "tight_cache": "preemption" in subset,
                "layer_prompts": 0,
                "watched": watched,
                "options": options,
            }
        )

    def _rows(self) -> int:
        text = self._workshop.prepared.candidate.text_config
        row = 4 * int(text["hidden_size"]) * (int(text["num_hidden_layers"]) + 2)
        return int(np.clip(_TAP_BYTES // row, _TAP_ROWS.start, _TAP_ROWS.stop))


def breaks(pair: Pair, config: ModelConfig) -> bool:
    """Whether any figure of closeness leaves its limit, a token differs beyond a tie, or a logit is not finite."""
    comparison = pair.comparison
    if not (comparison.finite & comparison.reference_finite).all():
        return True
    ties = comparison.ties(config.limit("relative_l2_mean") or float("nan"))
    if (~comparison.matches & ~ties).any():
        return True
    limits = [(figure, config.limit(figure.name)) for figure in CLOSENESS_FIGURES]
    return any(limit is not None and not figure.within(observe(comparison, figure), limit) for figure, limit in limits)


def name_of(subset: frozenset[str]) -> str:
    """A combination for people and for folders."""
    return "+".join(sorted(subset)) or "base again"
