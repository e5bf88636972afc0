"""Figures: a comparison reduced to published numbers, each judged by its limit.

A figure breaks its limit when the observed value does; agreement, when it does with ties counted as equal, where a
noise floor says what a tie is. Where a floor run breaks it too, the limit is the publisher's and the gates against the
noise floor judge; so it is with the worst position of a mixture of experts. What keeps it, on a sample too small to say
so with 95 % confidence, is `inconclusive`.
"""

from collections.abc import Callable
from itertools import pairwise
from math import isfinite, log
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checks.claims import at_least
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, by_limit
from npu_conformance.checks.pair import Pair
from npu_conformance.checks.registry import CHECKS
from npu_conformance.checks.undecided import cannot_show, enough, shown
from npu_conformance.config.limits import Figure
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.rates import rate_interval, times_needed, worth
from npu_conformance.measure.results import Path, Result, Verdict
from npu_conformance.measure.statistics import Interval, loss_interval

_REDUCE: dict[str, Callable[[NDArray[Any]], Any]] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "p99": lambda values: np.percentile(values, 99),
}
# Prompts that a mean needs for an interval that says something.
_FEWEST = 3
# Positions of a long text that count as one of a sample.
_STRETCH = 25
# Of what the worst position loses, from run to run.
_SCATTER = 2
_EXCHANGED = (
    "In a mixture of experts rounding sends single tokens to another expert, whose error is several times as large: "
    "worst_positions and the other gates against the noise floor judge them instead"
)


def observe(comparison: Comparison, figure: Figure) -> float:
    """The value of a figure."""
    return float(_REDUCE[figure.reduce](_positions(comparison, figure)))


def _positions(comparison: Comparison, figure: Figure) -> NDArray[Any]:
    """What the figure is made of, position by position."""
    return comparison.matches if figure.of == "matches" else comparison.values[figure.of or ""]


def _has_interval(figure: Figure) -> bool:
    return figure.reduce == "mean" and not figure.scatters


def judge_figure(
    evidence: Evidence, pair: Pair, check: str, figure: Figure, *, path: Path = "decode", at: str = "answers"
) -> Result:
    """Observe a figure and hold it against the limit of the model's config, if there is one.

    Args:
        evidence: of the model in a variant.
        pair: the two traces that are compared.
        check: the property it is a figure of.
        figure: what to observe.
        path: of the engine.
        at: see `Result`.
    """
    comparison = pair.comparison
    observed, n = observe(comparison, figure), len(comparison)
    limit = evidence.limit(figure.name, same_weights=pair.same_weights)
    interval = _interval(evidence, pair, figure)
    judged, ends, told, claims = observed, interval, [], []
    if figure.of == "matches":
        equal = judged_equal(evidence, pair)
        judged, ends = float(equal.mean()), agreement_interval(comparison, equal)
        told = [_with_ties(judged, ends, observed)] if judged > observed else []
        claims = [at_least(int(equal.sum()), n, ends[0])]
    verdict, floor = _verdict(figure, judged, ends, limit), _of_floor(evidence, pair, figure)
    if verdict in ("fail", "inconclusive") and limit is not None and isfinite(judged) and _breaks(floor, figure, limit):
        verdict = "shown"
        told.append(_floor_breaks(figure, floor, limit))
    elif verdict == "fail" and _may_be_an_expert(evidence, pair, figure, judged):
        verdict = "shown"
        told.append(_EXCHANGED)
    elif verdict == "inconclusive" and limit is not None:
        told.append(_open(evidence, pair, figure, judged, ends, limit))
    return Result(
        check=check,
        variant=evidence.variant,
        path=path,
        metric=figure.name,
        at=at,
        observed=observed,
        limit=limit,
        floor=floor,
        relation=figure.relation,
        n=n,
        interval=interval,
        verdict=verdict,
        where=_worst_place(pair, figure),
        message=". ".join([*told, *claims]) or None,
    )


def _of_floor(evidence: Evidence, pair: Pair, figure: Figure) -> float | None:
    """What the floor run that is worst has of a figure; None where none was measured at a pair's positions."""
    if evidence.noise is None or evidence.no_floor is not None or pair.same_weights or not pair.scored:
        return None
    found = [observe(run.comparison, figure) for run in evidence.noise.runs.values()]
    return float(np.min(found) if figure.sense == "min" else np.max(found))


def _breaks(floor: float | None, figure: Figure, limit: float) -> TypeGuard[float]:
    """Whether a floor run itself does not keep a limit, so that rounding alone breaks it; of tokens, ties tell that.

    The worst of all positions is another one in each run: rounding breaks its limit too where a floor run has half.
    """
    if figure.of == "matches" or floor is None or not isfinite(floor):
        return False
    loss, allowed = (1 - value if figure.sense == "min" else value for value in (floor, limit))
    return (loss * _SCATTER if _of_worst(figure) else loss) > allowed


def _of_worst(figure: Figure) -> bool:
    """Whether one position decides a figure."""
    return figure.reduce in ("min", "max")


def _floor_breaks(figure: Figure, floor: float, limit: float) -> str:
    told, allowed = shown(floor, figure.style), shown(limit, figure.style)
    if figure.within(floor, limit):
        return (
            f"A floor run has {told}: by rounding alone the worst position of this model is near the limit {allowed} "
            "or beyond it. The gates against the noise floor judge instead"
        )
    return (
        f"A floor run has {told} itself: of this model the limit {allowed} is broken by rounding alone. The gates "
        "against the noise floor judge instead"
    )


def _may_be_an_expert(evidence: Evidence, pair: Pair, figure: Figure, observed: float) -> bool:
    """Whether the worst position is likely one that rounding sent to another expert, so that gates judge it.

    A floor run of the same prompts need not have such a position. A limit of the model's config is judged as it stands,
    and so are two runs of one engine, which no gate holds against each other.
    """
    gated = evidence.routed and evidence.no_floor is None and not pair.same_weights
    return gated and _of_worst(figure) and figure.name not in evidence.config.limits and isfinite(observed)


def judged_equal(evidence: Evidence, pair: Pair) -> NDArray[np.bool_]:
    """Positions whose tokens count as equal when agreement is judged: ties too, where a noise floor tells them."""
    matches: NDArray[np.bool_] = pair.comparison.matches
    return matches if evidence.no_floor is not None else matches | pair.comparison.ties(evidence.tie_width(pair))


def same_tokens(
    evidence: Evidence, pair: Pair, check: str, *, path: Path = "decode", at: str = "answers", shown: bool = False
) -> Result:
    """A hard check: where the largest logits are different tokens', rounding may have decided.

    Shown alone where a gate asks it of the same tokens, with a stated rate of false alarms.
    """
    comparison = pair.comparison
    tied = comparison.ties(evidence.tie_width(pair))
    broken = np.flatnonzero(~comparison.matches & ~tied)
    where = pair.place(int(broken[0])) if len(broken) else None
    gated = pair is evidence.pair and CHECKS["unlikely_flips"].lacks(evidence) is None
    result = all_of(
        evidence, check, "equal_or_tied_tokens", broken, where, len(comparison), path=path, at=at, shown=shown or gated
    )
    return result.model_copy(update={"message": f"{tied.sum()} tied"}) if tied.any() else result


def _verdict(figure: Figure, observed: float, interval: Interval | None, limit: float | None) -> Verdict:
    found = by_limit(observed, limit, figure.relation)
    if found != "pass" or limit is None or not _has_interval(figure):
        return found
    # Without an interval the sample cannot say how far off it may be.
    kept = interval is not None and figure.within(interval[1 if figure.sense == "max" else 0], limit)
    return "pass" if kept else "inconclusive"


def _with_ties(judged: float, ends: Interval, observed: float) -> str:
    rate, low, high, plain = (shown(value, "percent") for value in (judged, *ends, observed))
    return f"{rate} with ties is judged ({low} to {high}), not {plain}: rounding alone exchanges tied tokens"


def _open(evidence: Evidence, pair: Pair, figure: Figure, judged: float, ends: Interval | None, limit: float) -> str:
    """Why a figure that keeps its limit is open."""
    comparison = pair.comparison
    told, prompts = shown(limit, figure.style), int((np.diff(comparison.bounds) > 0).sum())
    if figure.of == "matches":
        needed = _needed(comparison, judged_equal(evidence, pair), limit)
        return cannot_show(evidence, len(comparison), "positions", told, needed)
    if ends is None:
        return cannot_show(evidence, prompts, "prompts", told, max(_FEWEST, prompts + 1))
    worst_end = ends[1 if figure.sense == "max" else 0]
    loss, most, allowed = (1 - value if figure.sense == "min" else value for value in (judged, worst_end, limit))
    # An interval of logarithms narrows with the root of the sample.
    narrows = 0 < loss < allowed and np.isfinite(most)
    needed = enough(prompts, (log(most / loss) / log(allowed / loss)) ** 2) if narrows else None
    return cannot_show(evidence, prompts, "prompts", told, needed)


def _worst_place(pair: Pair, figure: Figure) -> str | None:
    values = _positions(pair.comparison, figure)
    if figure.of == "matches":
        different = np.flatnonzero(~values)
        return pair.place(int(different[0])) if len(different) else None
    unjudgeable = np.flatnonzero(np.isnan(values))
    if len(unjudgeable):
        return pair.place(int(unjudgeable[0]))
    return pair.place(int(values.argmin() if figure.sense == "min" else values.argmax()))


def _interval(evidence: Evidence, pair: Pair, figure: Figure) -> Interval | None:
    """95 % interval of a figure that has one."""
    comparison = pair.comparison
    if figure.of == "matches":
        return agreement_interval(comparison, comparison.matches)
    if not _has_interval(figure):
        return None
    values = _positions(comparison, figure)
    losses = 1 - values if figure.sense == "min" else values
    bounds = comparison.bounds
    if evidence.long_texts:
        # One or two texts that are always the same: the sample is their positions.
        bounds = tuple(sorted({*bounds, *range(0, bounds[-1], _STRETCH)}))
    spans = [slice(start, end) for start, end in pairwise(bounds)]
    means = [(losses[span].mean(), span.stop - span.start) for span in spans if span.stop > span.start]
    interval = loss_interval(*zip(*means, strict=True)) if means else None
    if pair.same_weights and comparison.equal.all():
        interval = (0.0, 0.0)  # the same bits in both runs of the engine: no spread to estimate
    return (1 - interval[1], 1 - interval[0]) if interval and figure.sense == "min" else interval


def agreement_interval(comparison: Comparison, equal: NDArray[np.bool_]) -> Interval:
    """Interval of the rate of equal tokens [positions], each end with 95 % confidence."""
    return rate_interval(int(equal.sum()), len(comparison), _worth(comparison, equal))


def _worth(comparison: Comparison, equal: NDArray[np.bool_]) -> float:
    """How many independent positions a comparison rests on."""
    spans = [equal[start:end] for start, end in pairwise(comparison.bounds) if end > start]
    return worth([int(one.sum()) for one in spans], [len(one) for one in spans])


def _needed(comparison: Comparison, equal: NDArray[np.bool_], limit: float) -> int | None:
    """Prompts such as these after which the interval at this rate lies above the limit; None where no number does."""
    n, prompts = len(comparison), int((np.diff(comparison.bounds) > 0).sum())
    times = times_needed(float(equal.sum()), n, _worth(comparison, equal), lambda interval: interval[0] >= limit)
    return None if times is None else enough(prompts, times)
