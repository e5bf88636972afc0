"""A variant's tokens against the reference's: agreement with and without ties, and every mismatch that is no tie."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import agreement_interval
from npu_conformance.measure.comparison import Comparison
from npu_conformance.report.part import Part


class Rate(Part):
    """At how many positions something holds."""

    hits: int
    n: int
    observed: float
    """hits / n."""
    interval: tuple[float, float]
    """Each end with 95 % confidence, on as many independent positions as these prompts' are worth."""


class Agreement(Part):
    """A variant's tokens against the reference's, where a noise floor says what a tie is."""

    variant: str
    raw: Rate
    """Positions with the reference's token: what is published."""
    adjusted: Rate
    """Positions with the reference's token, or with one that is tied with it: what is judged."""
    ties: int
    """Positions with another token, so near on both sides that rounding may have decided."""
    expected_ties: float
    """Mean over the floor runs of the positions, among the same, with another token than the reference's."""
    expected_range: tuple[int, int]
    """The least and the most of any floor run."""
    router_ties: int | None = None
    """Positions at which rounding may exchange an expert, in any layer; null for a dense model."""


class Mismatch(Part):
    """A position with another token than the reference's, which rounding does not explain."""

    prompt: str
    """`set/id` of the prompt."""
    position: int
    """Step of the answer."""
    candidate: str
    """The candidate's token: its text and id."""
    reference: str | None
    """The reference's; null where a NaN leaves it none."""
    margin: float
    """By how much the reference prefers its token to the candidate's, in logits; NaN where logits are not finite."""
    lead: float
    """By how much the candidate prefers its own."""
    width: float
    """A tie would have neither larger than this, in logits; NaN where nothing is a tie."""


def agreement(evidence: Evidence, comparison: Comparison) -> Agreement | None:
    """Both rates and the number of ties; None without a noise floor, which is what ties are told by."""
    if evidence.no_floor is not None:
        return None
    equal, tied = _equal_and_tied(comparison, evidence.tie_width(evidence.pair))
    flips = [int(one.flipped.sum()) for one in evidence.floor.values()]
    return Agreement(
        variant=evidence.variant,
        raw=_rate(comparison, equal),
        adjusted=_rate(comparison, equal | tied),
        ties=int(tied.sum()),
        expected_ties=float(np.mean(flips)),
        expected_range=(min(flips), max(flips)),
        router_ties=None if evidence.router_ties is None else int(evidence.router_ties.sum()),
    )


def mismatches(evidence: Evidence, comparison: Comparison) -> list[Mismatch]:
    """Every mismatch that is no tie, in the order of positions."""
    width = evidence.tie_width(evidence.pair)
    logits = np.broadcast_to(width, len(comparison)) * comparison.reference_rms
    equal, tied = _equal_and_tied(comparison, width)
    return [_mismatch(evidence, comparison, int(at), float(logits[at])) for at in np.flatnonzero(~equal & ~tied)]


def _mismatch(evidence: Evidence, comparison: Comparison, at: int, width: float) -> Mismatch:
    prompt, step = comparison.locate(at)
    mine, behind, theirs, ahead = comparison.token_logits[at].tolist()
    # What a row that is not finite prefers says nothing, even where the two logits are numbers.
    lost = {} if comparison.finite[at] and comparison.reference_finite[at] else {"margin": np.nan, "lead": np.nan}
    choice = int(comparison.choices[at])
    found: dict[str, Any] = {"margin": ahead - theirs, "lead": mine - behind, "width": width} | lost
    return Mismatch(
        prompt=comparison.prompts[prompt],
        position=step,
        candidate=evidence.reference.piece(int(comparison.tokens[at])),
        reference=None if choice < 0 else evidence.reference.piece(choice),
        **found,
    )


def _equal_and_tied(comparison: Comparison, width: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where tokens are equal, and where they are tied; neither where a row is not finite."""
    finite = comparison.finite & comparison.reference_finite
    return comparison.matches & finite, comparison.ties(width) & finite


def _rate(comparison: Comparison, holds: NDArray[np.bool_]) -> Rate:
    hits, n = int(holds.sum()), len(comparison)
    return Rate(hits=hits, n=n, observed=hits / n, interval=agreement_interval(comparison, holds))
