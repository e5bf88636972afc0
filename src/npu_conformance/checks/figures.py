"""Figures: a comparison reduced to published numbers, each judged by its limit.

A figure breaks its limit when the observed value does; agreement, when it does with ties counted as equal, where a
noise floor says what a tie is. What keeps it, on a sample too small to say so with 95 % confidence, is `inconclusive`.
"""

from collections.abc import Callable

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, by_limit
from npu_conformance.checks.pair import Pair
from npu_conformance.config.limits import Figure
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.metrics import Values
from npu_conformance.measure.results import Path, Result, Verdict
from npu_conformance.measure.statistics import Interval, effective_n, mean_interval, rate_interval

_REDUCE: dict[str, Callable[[Comparison], float]] = {
    "token_agreement": lambda c: float(c.matches.mean()),
    "top5_overlap": lambda c: float(c.values["top5"].mean()),
    "cosine_mean": lambda c: float(c.values["cosine"].mean()),
    "cosine_min": lambda c: float(c.values["cosine"].min()),
    "pearson_mean": lambda c: float(c.values["pearson"].mean()),
    "relative_l2_mean": lambda c: float(c.values["relative_l2"].mean()),
    "relative_l2_max": lambda c: float(c.values["relative_l2"].max()),
    "kl_mean": lambda c: float(c.values["kl"].mean()),
    "kl_p99": lambda c: float(np.percentile(c.values["kl"], 99)),
    "kl_max": lambda c: float(c.values["kl"].max()),
    "max_abs_diff": lambda c: float(c.values["max_abs"].max()),
    "mean_abs_diff": lambda c: float(c.values["mean_abs"].mean()),
}
# Means with an interval, and the metric each is of. KL's positions scatter too much for one at a dozen prompts.
_MEANS = {
    "cosine_mean": "cosine",
    "pearson_mean": "pearson",
    "relative_l2_mean": "relative_l2",
    "mean_abs_diff": "mean_abs",
}
# The per-position metric whose worst position a figure points at, and whether worse is less.
_WORST: dict[str, tuple[str, bool]] = {
    "top5_overlap": ("top5", True),
    "cosine_mean": ("cosine", True),
    "cosine_min": ("cosine", True),
    "pearson_mean": ("pearson", True),
    "relative_l2_mean": ("relative_l2", False),
    "relative_l2_max": ("relative_l2", False),
    "kl_mean": ("kl", False),
    "kl_p99": ("kl", False),
    "kl_max": ("kl", False),
    "max_abs_diff": ("max_abs", False),
    "mean_abs_diff": ("mean_abs", False),
}


def observe(comparison: Comparison, figure: Figure) -> float:
    """The value of a figure."""
    return _REDUCE[figure.name](comparison)


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
    limit = evidence.config.limit(figure.name, same_weights=pair.same_weights)
    interval = _interval(comparison, figure)
    judged, ends, told = observed, interval, []
    if figure.name == "token_agreement" and evidence.no_floor is None:
        equal = comparison.matches | comparison.ties(evidence.tie_width(pair))
        judged, ends = float(equal.mean()), agreement_interval(comparison, int(equal.sum()))
        told = [f"{judged:.2%} with ties, which rounding alone exchanges"] if judged > observed else []
    verdict = _verdict(figure, judged, ends, limit)
    if verdict == "inconclusive" and limit is not None:
        told.append(f"{n} positions cannot show {limit:g} with 95 % confidence")
        if figure.name == "token_agreement":
            told.append(f"at this rate {_needed(comparison, judged, limit)}")
    return Result(
        check=check,
        variant=evidence.variant,
        path=path,
        metric=figure.name,
        at=at,
        observed=observed,
        limit=limit,
        relation=figure.relation,
        n=n,
        interval=interval,
        verdict=verdict,
        where=_worst_place(pair, figure.name),
        message="; ".join(told) or None,
    )


def same_tokens(
    evidence: Evidence, pair: Pair, check: str, *, path: Path = "decode", at: str = "answers", shown: bool = False
) -> Result:
    """A hard check: where the largest logits are different tokens', rounding may have decided."""
    comparison = pair.comparison
    tied = comparison.ties(evidence.tie_width(pair))
    broken = np.flatnonzero(~comparison.matches & ~tied)
    where = pair.place(int(broken[0])) if len(broken) else None
    result = all_of(
        evidence, check, "equal_or_tied_tokens", broken, where, len(comparison), path=path, at=at, shown=shown
    )
    return result.model_copy(update={"message": f"{tied.sum()} tied"}) if tied.any() else result


def _verdict(figure: Figure, observed: float, interval: Interval | None, limit: float | None) -> Verdict:
    found = by_limit(observed, limit, figure.relation)
    if found != "pass" or limit is None:
        return found
    kept = interval is None or figure.within(interval[1 if figure.sense == "max" else 0], limit)
    return "pass" if kept else "inconclusive"


def _worst_place(pair: Pair, figure: str) -> str | None:
    comparison = pair.comparison
    if figure == "token_agreement":
        different = np.flatnonzero(~comparison.matches)
        return pair.place(int(different[0])) if len(different) else None
    name, less_is_worse = _WORST[figure]
    values: Values = comparison.values[name]
    unjudgeable = np.flatnonzero(np.isnan(values))
    if len(unjudgeable):
        return pair.place(int(unjudgeable[0]))
    return pair.place(int(values.argmin() if less_is_worse else values.argmax()))


def _interval(comparison: Comparison, figure: Figure) -> Interval | None:
    """95 % interval of a figure that has one."""
    if figure.name == "token_agreement":
        return agreement_interval(comparison, int(comparison.matches.sum()))
    if figure.name not in _MEANS:
        return None
    values = comparison.values[_MEANS[figure.name]]
    losses = 1 - values if figure.sense == "min" else values
    spans = [slice(start, end) for start, end in zip(comparison.bounds, comparison.bounds[1:], strict=False)]
    means = [(losses[span].mean(), span.stop - span.start) for span in spans if span.stop > span.start]
    interval = mean_interval(*zip(*means, strict=True)) if len(means) > 2 else None
    return (1 - interval[1], 1 - interval[0]) if interval and figure.sense == "min" else interval


def agreement_interval(comparison: Comparison, equal: int) -> Interval:
    """95 % interval of the rate of so many equal tokens among a comparison's."""
    return rate_interval(equal, len(comparison), _worth(comparison))


def _worth(comparison: Comparison) -> float:
    """How many independent positions a comparison rests on."""
    lengths = np.diff(comparison.bounds)
    return effective_n(lengths[lengths > 0])


def _needed(comparison: Comparison, rate: float, limit: float) -> str:
    """Positions, of prompts such as these, after which the interval at this rate lies above the limit."""
    n, worth = len(comparison), _worth(comparison)
    prompts = int((np.diff(comparison.bounds) > 0).sum())
    for times in (1.05**power for power in range(1, 200)):
        more = round(n * times)
        if rate_interval(rate * more, more, worth * times)[0] >= limit:
            return f"about {n * times:.0f} positions would: --prompts {prompts * times:.0f}"
    return "no number of positions would"
