"""The evidence on one model in one variant: what its checks may look at, and nothing else."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.scan import Scan
from npu_conformance.baselines.against import BaselineDiff, since
from npu_conformance.baselines.stored import Baseline
from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checks.pair import Pair, compare_together, kept_comparison
from npu_conformance.checks.routers import router_ties
from npu_conformance.config.engines import DEFAULT, engine
from npu_conformance.config.limits import FALSE_ALARMS, NOISE_FIGURES
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.config.variants import CATALOGUE, JUDGED, is_long, no_effect, signs_of, unconfirmed
from npu_conformance.measure.comparison import Comparison, require_finite
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.few_floor import floor_of_words
from npu_conformance.measure.floor import FloorRun, NoiseFloor
from npu_conformance.measure.module_errors import ModuleErrors
from npu_conformance.measure.noise import Family, family
from npu_conformance.measure.ties import TieWidths, tie_widths
from npu_conformance.traces.performance import Performance
from npu_conformance.traces.trace import BOUNDARY, COLD, PREFILL, Trace


@dataclass(frozen=True)
class Evidence:
    """All that the checks of one model in one variant may look at."""

    variant: str
    config: ModelConfig
    prompts: tuple[Prompt, ...]
    """What the candidate was asked; none where it was given the suite's own long texts."""
    candidate: Trace
    reference: Trace
    scan: Scan
    """What the candidate's weights show."""
    audit: Audit | None = None
    """The candidate's weights against the published ones; None where they are the same files."""
    inputs: Inputs | None = None
    """What config and tokenizer say by a second reading; None in traces that are older than it."""
    second_ids: tuple[tuple[tuple[int, ...], ...], ...] | None = None
    """The prompts' ids by tokenizer.json alone (see `Rendered`)."""
    prompts_there: int | None = None
    """How many `--prompts` can ask for: the model's sets and the reserve; None where that is not known."""
    second_reference: Trace | None = None
    """The same tokens scored in another dtype, to be reported beside."""
    base: Pair | None = None
    """The base variant against the same reference, whose tokens this variant was to take or find; None where it is
    compared with the reference only."""

    module_errors: ModuleErrors | None = None
    """How far each attention and MLP is from the reference's; None where that was not measured."""
    noise: NoiseFloor | None = None
    """What rounding alone costs; None where it was not measured."""
    quantised: FloorRun | None = None
    """What the candidate's quantisation costs by itself; None where it quantises nothing that enters its layers."""
    false_alarms: float = FALSE_ALARMS
    """This variant's share of the run's rate of false alarms."""
    baseline: Baseline | None = None
    """The current baseline; None where there is none."""
    outdated: str | None = None
    """Why the baseline is outdated; None where it is not, or there is none."""
    replacing: bool = False
    """Whether the run is to take the place of the baseline."""
    performance: Performance | None = None
    """What was measured of the engine's speed; None where nothing was, or it is another variant's."""
    kept: Path | None = None
    """Folder of comparisons that the run kept in place of rows; None where all rows are there."""
    baseline_only: bool = False
    """Whether no reference was computed: the baseline's stands for it, at the tokens that the candidate had to take."""

    @property
    def tokens_only(self) -> bool:
        """Whether the engine's logits could not be seen."""
        return self.variant in CATALOGUE and CATALOGUE[self.variant].tokens_only

    @property
    def long_texts(self) -> bool:
        """Whether the candidate was given the suite's own long texts, which no model is sure of at every word."""
        return is_long(self.variant)

    @cached_property
    def no_effect(self) -> str | None:
        """Why this variant's run says nothing about it: the engine did not do what it was asked."""
        if self.variant in JUDGED:
            return None
        options = self.config.changes(self.variant)
        return no_effect(options, signs_of(self.variant, options), self.candidate.provenance)

    @cached_property
    def unconfirmed(self) -> str | None:
        """What was asked for this variant and nothing in its run shows, by name; None where it took effect."""
        if self.variant in JUDGED:
            return None
        options, envs = self.config.changes(self.variant), self.config.changed_envs(self.variant)
        return unconfirmed(self.variant, options, envs, self.candidate.provenance)

    @cached_property
    def floor(self) -> dict[str, Deviations]:
        """Deviations of the floor runs that are not the candidate's own."""
        attention = self.config.reference.attn_implementation
        own = attention if engine(self.candidate.provenance.get("engine", DEFAULT)).floor_arithmetic else None
        found = {} if self.noise is None else self.noise.floor_runs
        if self.baseline_only and self.baseline is not None:
            found = self.baseline.floor_deviations
        return {name: replace(one, routed=self.routed) for name, one in found.items() if name != own}

    @property
    def routed(self) -> bool:
        """Whether the model is a mixture of experts, as the engine or the reference says."""
        return bool(self.candidate.provenance.get("observed", {}).get("experts")) or self.router_ties is not None

    @cached_property
    def router_ties(self) -> NDArray[np.bool_] | None:
        """At which judged positions rounding may exchange an expert; None for a dense model, or without a floor.

        Raises:
            TraceError: the routers' margins cannot be read.
        """
        return router_ties(self.reference, self.noise)

    @cached_property
    def ties(self) -> TieWidths:
        """How near two tokens must be for rounding to exchange them; only where there is a floor."""
        return tie_widths(self.floor)

    @property
    def plain_floor(self) -> bool:
        """Whether the floor is that of other weights than a quantised candidate's."""
        return self.config.scheme is not None and self.quantised is None

    @property
    def no_floor(self) -> str | None:
        """Why the candidate cannot be held against the noise floor; None where it can."""
        if self.plain_floor:
            return f"the floor is that of plain weights, the candidate's are {self.config.scheme}"
        return None if len(self.floor) > 1 else "fewer than two floor runs"

    def limit(self, figure: str, *, same_weights: bool = False) -> float | None:
        """The limit in force for a figure (see `ModelConfig.limit`).

        Runs that quantise what enters their layers each choose codes anew, and are as far apart as quantisation takes
        them from the reference: no rounding of the dtype alone lies between them.
        """
        return self.config.limit(figure, same_weights=same_weights and self.quantised is None)

    def tie_width(self, pair: Pair) -> NDArray[np.float64] | float:
        """Width of a tie at each position of a pair, over the root mean square of the logits (see `metrics.tied`)."""
        if not self.floor or (self.plain_floor and not pair.same_weights):
            # Without a floor the limit on the mean error stands in for it, on either side.
            return 2 * (self.config.limit("relative_l2_mean", same_weights=pair.same_weights) or float("nan"))
        # Two runs of the engine have errors each.
        sides = np.sqrt(2) if pair.same_weights else 1.0
        return sides * (self.ties.positions if pair.scored else self.ties.overall)

    def tie_width_at(self, prompt: str, step: int) -> float:
        """The same between two runs of the engine, at a step of a prompt."""
        index = [answer.prompt for answer in self.candidate.answers].index(prompt)
        widths = self.tie_width(Pair(self.candidate, self.candidate, self.reference, same_weights=True))
        if isinstance(widths, float):
            return float(widths)
        return float(widths[self.ties.place(index, step)])

    @cached_property
    def deviations(self) -> Deviations:
        """The candidate's, in decode."""
        return self._deviations(self.pair)

    def _deviations(self, pair: Pair) -> Deviations:
        require_finite(pair.comparison)
        return pair.comparison.deviations

    @cached_property
    def prefill_deviations(self) -> Deviations | None:
        """Those of its prefill path; None where it was not captured."""
        return None if self.prefill is None else self._deviations(self.prefill)

    @cached_property
    def since(self) -> BaselineDiff | None:
        """The candidate beside the baseline; None where there is none, or it is of another variant.

        Raises:
            TraceError: they have no position in common.
        """
        if self.baseline is None or self.variant != "base":
            return None
        require_finite(self.comparison)
        return since(self.candidate, self.baseline)

    @cached_property
    def calibrated(self) -> Family:
        """The tests against the noise floor, which gates judge together."""
        limits = {figure.name: self.config.limit(figure.name) or float("nan") for figure in NOISE_FIGURES}
        floors = self._floor_over(self.candidate), self._floor_over(self.candidate.part(PREFILL))
        mine = self.deviations, self.prefill_deviations
        return family(*mine, floors[0], limits, self.false_alarms, self.layers_floor, floors[1])

    def _floor_over(self, trace: Trace | None) -> dict[str, Deviations]:
        """The floor over the words that a trace of the candidate has, where it has not all."""
        if trace is None or trace.rows == "full" or self.noise is None:
            return self.floor
        runs = {name: self.noise.runs[name] for name in self.floor}
        return floor_of_words(trace, self.reference, runs, routed=self.routed)

    @property
    def layers_floor(self) -> ModuleErrors | None:
        """Errors of attentions and MLPs with a floor of their own; None where that is the candidate's arithmetic."""
        asked = engine(self.candidate.provenance.get("engine", DEFAULT))
        return None if asked.floor_arithmetic else self.module_errors

    @cached_property
    def pair(self) -> Pair:
        """Candidate against reference."""
        return self._pair("reference", self.candidate, self.reference)

    @property
    def comparison(self) -> Comparison:
        """Candidate against reference at every position (see `compare` for what it raises)."""
        return self.pair.comparison

    @cached_property
    def prefill(self) -> Pair | None:
        """The engine's prefill path against the reference; None where it was not captured."""
        part = self.candidate.part(PREFILL)
        return None if part is None else self._pair("prefill", part, self.reference, ("prefill", "reference"))

    @cached_property
    def own_prefill(self) -> Pair | None:
        """The engine's decode path against its own prefill path; None where that was not captured."""
        part = self.candidate.part(PREFILL)
        # What the sampler made of the logits is another check's, and so is a second run.
        once = tuple(replace(answer, repeat_digests=None) for answer in self.candidate.answers)
        decode = replace(self.candidate, answers=once, forced=True)
        if part is None:
            return None
        return self._pair("own_prefill", decode, part, ("decode", "prefill"), same_weights=True)

    @cached_property
    def against_base(self) -> Pair | None:
        """This variant against base at base's positions; None where there are none."""
        if self.base is None or self.tokens_only:
            return None
        return self._against("base", self.candidate, self.base.candidate)

    @cached_property
    def boundary_against_base(self) -> Pair | None:
        """The same at the block-boundary prompts, which cut text at the edges of blocks."""
        return self._part_against(BOUNDARY, self.base.candidate.part(BOUNDARY) if self.base else None)

    @cached_property
    def cold_against_base(self) -> Pair | None:
        """The same before the prefix cache was warm; None where the variant has none."""
        return self._part_against(COLD, self.base.candidate if self.base else None)

    def _part_against(self, name: str, theirs: Trace | None) -> Pair | None:
        mine = self.candidate.part(name)
        if mine is None or theirs is None or not mine.answers:
            return None
        return self._against(name, mine, theirs, scored=name != BOUNDARY)

    def _against(self, name: str, mine: Trace, theirs: Trace, *, scored: bool = True) -> Pair:
        return self._pair(name, mine, theirs, (self.variant, "base"), same_weights=True, scored=scored)

    def _pair(
        self,
        name: str,
        mine: Trace,
        theirs: Trace,
        sides: tuple[str, str] = ("candidate", "reference"),
        *,
        same_weights: bool = False,
        scored: bool = True,
    ) -> Pair:
        found = None if self.kept is None else kept_comparison(name, mine, theirs, self.kept)
        return Pair(mine, theirs, self.reference, sides, same_weights, scored, self._compare, found)

    @property
    def pairs(self) -> dict[str, Pair]:
        """All that is compared of this variant, by name."""
        found = {
            "reference": self.pair,
            "prefill": self.prefill,
            "own_prefill": self.own_prefill,
            "base": self.against_base,
            COLD: self.cold_against_base,
            BOUNDARY: self.boundary_against_base,
        }
        return {name: pair for name, pair in found.items() if pair is not None}

    def _compare(self) -> None:
        """Compare all that is compared of this variant in one pass, so that rows are read once."""
        compare_together([*self.pairs.values(), *([] if self.base is None else [self.base])])
