"""What a variant's run showed besides its distance from the reference: against base, by path, in other batches."""

from typing import Any

import numpy as np
from pydantic import field_validator

from npu_conformance.checks.closeness import three_way
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.log import log_of
from npu_conformance.checks.pair import Pair
from npu_conformance.errors import TraceError
from npu_conformance.measure.cases import by_scenario, farthest, tied
from npu_conformance.measure.noise import LAYERS, points_found
from npu_conformance.measure.three_way import IMPLICATES
from npu_conformance.report.part import Part
from npu_conformance.report.words.metrics import AT
from npu_conformance.traces.cases import Case
from npu_conformance.workers.log import WARNINGS


class Distances(Part):
    """A run of the engine against another, at the same positions."""

    positions: int
    relative_l2_mean: float
    relative_l2_max: float
    kl_mean: float
    flips: int
    """Positions whose largest logits are different tokens', further apart in either run than rounding explains."""
    ties: int
    """Positions whose largest logits are different tokens', so near in both runs that rounding may have decided."""
    bitwise: float
    """Share of positions whose logits are bitwise the same."""


class SameAnswers(Part):
    """Answers of an engine whose logits cannot be seen, against base's."""

    answers: int
    equal: int
    """Answers with exactly base's tokens."""


class Paths(Part):
    """Three-way comparison: the engine's decode and prefill paths against the reference and against each other."""

    decode: bool
    """Whether decode keeps the limits against the reference."""
    prefill: bool
    """Whether prefill keeps them against the reference."""
    own: bool
    """Whether decode keeps them against the engine's own prefill."""
    decode_l2: float
    """Relative L2 error, mean."""
    prefill_l2: float
    own_l2: float
    implicates: str
    """What the three together say."""


class ModuleRow(Part):
    """The attention or the MLP of a layer, against the floor of its own arithmetic."""

    point: str
    """`model.layers.0.self_attn`, `model.layers.0.mlp` …"""
    error: float
    """Its relative L2 error, geometric mean, on the input that the candidate gave it."""
    over_floor: float
    """The same over that of the worst floor run."""
    alike: float
    """How much of that all of its kind have."""
    along: float
    """Signed error along what the reference gives, as a share of it, mean."""
    beyond: bool
    """Whether it is beyond its floor by more than chance."""


class LogRow(Part):
    """A warning that the engine wrote into its log and went on."""

    times: int
    name: str
    """Of its row in known_warnings.yaml."""
    line: str
    """The first of them."""
    meaning: str
    remedy: str
    fails: bool
    """Whether another model ran."""


class BatchRow(Part):
    """A scenario in which prompts were forced again, in other batches than the first time."""

    scenario: str
    prompts: int
    """Prompts forced again; of identical ones each copy counts."""
    positions: int
    different: int
    """Positions whose logits are not bitwise those of the first time."""
    distance: float
    """Largest relative L2 distance of a position from the first time; NaN where logits are not finite."""
    flips: int
    """Positions at which another token would be taken, and rounding does not explain it."""
    ties: int
    """Positions at which another token would be taken, and rounding may."""

    @field_validator("scenario")
    @classmethod
    def _known(cls, scenario: str) -> str:
        if f"batch:{scenario}" not in AT:
            raise ValueError(f"no scenario: {scenario}")
        return scenario

    where: str | None
    """The position with the largest distance; null where nothing differs."""


def distances(evidence: Evidence, pair: Pair | None) -> Distances | None:
    """The two runs of a pair against each other; finite logits are not asked for."""
    if pair is None:
        return None
    comparison, values = pair.comparison, pair.comparison.values
    ties = int(comparison.ties(evidence.tie_width(pair)).sum())
    return Distances(
        positions=len(comparison),
        relative_l2_mean=float(values["relative_l2"].mean()),
        relative_l2_max=float(values["relative_l2"].max()),
        kl_mean=float(values["kl"].mean()),
        flips=int((~comparison.matches).sum()) - ties,
        ties=ties,
        bitwise=float(comparison.equal.mean()),
    )


def same_answers(evidence: Evidence) -> SameAnswers | None:
    """Tokens against base's, where there are no logits to compare."""
    if not evidence.tokens_only or evidence.base is None:
        return None
    theirs = {answer.prompt: answer.token_ids for answer in evidence.base.candidate.answers}
    mine = evidence.candidate.answers
    return SameAnswers(answers=len(mine), equal=sum(one.token_ids == theirs.get(one.prompt) for one in mine))


def paths(evidence: Evidence) -> Paths | None:
    """The three-way comparison; None where prefill was not captured."""
    found = three_way(evidence)
    if found is None or evidence.prefill is None or evidence.own_prefill is None:
        return None
    pairs = {"decode_l2": evidence.pair, "prefill_l2": evidence.prefill, "own_l2": evidence.own_prefill}
    errors: dict[str, Any] = {name: float(pair.comparison.values["relative_l2"].mean()) for name, pair in pairs.items()}
    return Paths(**found._asdict(), **errors, implicates=IMPLICATES[found])


def batches(evidence: Evidence) -> list[BatchRow]:
    """A row a scenario; none where other batches were not tried."""
    cases = by_scenario(evidence.candidate.cases())
    return [_batch_row(evidence, scenario, found) for scenario, found in cases.items()]


def _batch_row(evidence: Evidence, scenario: str, cases: list[Case]) -> BatchRow:
    worst = farthest(cases)
    flips = [(case.prompt, flip) for case in cases for flip in case.flips]
    ties = sum(
        tied(flip, evidence.tie_width_at(prompt, flip.step), evidence.comparison.rms_at(prompt, flip.step))
        for prompt, flip in flips
    )
    different = sum(case.different for case in cases)
    return BatchRow(
        scenario=scenario,
        prompts=len(cases),
        positions=sum(case.positions for case in cases),
        different=different,
        distance=worst.distance,
        flips=len(flips) - ties,
        ties=ties,
        where=worst.place(worst.worst) if different else None,
    )


def module_rows(evidence: Evidence) -> list[ModuleRow]:
    """A row an attention and an MLP, in the order they are passed; none where they were not measured."""
    errors = evidence.layers_floor
    if errors is None or len(errors.prompts) < 2:
        return []
    return [
        ModuleRow(
            point=one.point,
            error=float(np.exp(errors.candidate[..., place].mean())),
            over_floor=one.over_floor,
            alike=one.alike,
            along=float(errors.along[..., place].mean()),
            beyond=not one.p_value > evidence.false_alarms,
        )
        for place, one in enumerate(points_found(errors, evidence.config.limit(LAYERS) or float("nan")))
    ]


def log_rows(evidence: Evidence) -> list[LogRow]:
    """What the engine's log said, what fails first."""
    try:
        log = log_of(evidence.candidate)
    except TraceError:
        return []  # the check says so
    rows = [
        LogRow(times=one.times, name=one.name, line=one.line, meaning=row.meaning, remedy=row.remedy, fails=row.fails)
        for one in (log.findings if log else ())
        if (row := WARNINGS.get(one.name)) is not None
    ]
    return sorted(rows, key=lambda row: not row.fails)
