"""From how a figure was distributed in a run to the limit that this supports.

Everything is reckoned as a loss, of which less is better: 1 - cosine, 1 - agreement, the error, the divergence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.config.limits import CLOSENESS_FIGURES, FALSE_ALARMS, FIGURES, Figure
from npu_conformance.measure.rates import rate_interval, worth
from npu_conformance.measure.statistics import log_mean_error, t_quantile
from npu_conformance.measure.tails import fit_tail

_LIMITED = [(one, one.of) for one in CLOSENESS_FIGURES if one.of is not None and one.defaults[0] is not None]
MEANS = {one.name: metric for one, metric in _LIMITED if one.reduce == "mean"}
"""Figures that are means over positions, and the metric they are of."""
EXTREMES = {one.name: metric for one, metric in _LIMITED if one.reduce in ("min", "max")}
"""Figures that are a worst position's."""
AGREEMENT = "token_agreement"
KNOWN = (AGREEMENT, *MEANS, *EXTREMES)
"""Figures there is a rule for."""
CHANCE = FALSE_ALARMS / len(KNOWN)
"""That another run breaks one limit in one comparison. Those of one figure go together, for they are of one model and
the same positions: so it is the figures among which the rate is shared."""
# Fewer do not show how a figure scatters.
_PROMPTS, _POSITIONS = 20, 100
# Below float64's own rounding of a cosine: as good as bit for bit equal.
_ZERO = 1e-15
# Share of positions that must differ at all for the largest to have a tail to lie in.
_SPREAD = 0.5

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A figure in one comparison of a run."""

    where: str
    """Variant and what was compared."""
    bounds: tuple[int, ...]
    """Prompt i has the positions bounds[i] to bounds[i + 1]."""
    losses: Values
    """[positions]"""

    @property
    def by_prompt(self) -> Values:
        """Mean loss of each prompt [prompts]."""
        pairs = zip(self.bounds, self.bounds[1:], strict=False)
        return np.array([self.losses[start:end].mean() for start, end in pairs if end > start])

    def observed(self, figure: str) -> float:
        """The figure's loss."""
        return float(self.losses.max() if figure in EXTREMES else self.losses.mean())

    def bound(self, figure: str, chance: float) -> float | None:
        """The loss that another run like this one exceeds with that chance; None where there is too little to say."""
        if len(self.by_prompt) < _PROMPTS or len(self.losses) < _POSITIONS:
            return None
        if figure == AGREEMENT:
            lengths = np.diff(self.bounds)
            lengths = lengths[lengths > 0]
            equal = np.rint((1 - self.by_prompt) * lengths)
            return 1 - rate_interval(float(equal.sum()), len(self.losses), worth(equal, lengths))[0]
        if figure in MEANS:
            return self._mean_bound(chance)
        if (self.losses > _ZERO).mean() < _SPREAD:
            return None
        tail = fit_tail(np.log(np.maximum(self.losses, _ZERO)))
        return float(np.exp(tail.reach(chance, len(self.losses))))

    def _mean_bound(self, chance: float) -> float | None:
        """Student's t for the logarithm of a new mean of as many prompts, whose means are lognormal.

        Twice the variance of one, for the mean of this run and that of the next.
        """
        means, n, lengths = self.by_prompt, len(self.by_prompt), np.diff(self.bounds)
        if not (means > _ZERO).all():
            return None  # bit for bit equal somewhere: no logarithm, and nothing that scatters
        error = np.sqrt(2) * log_mean_error(means, lengths[lengths > 0])
        return float(self.losses.mean() * np.exp(t_quantile(1 - chance, n) * error))


@dataclass(frozen=True)
class Supported:
    """What a run says of a figure's limit."""

    figure: Figure
    current: float
    """The limit in force."""
    observed: float
    """In the comparison where it is worst."""
    limit: float | None
    """The limit to write; None where none is suggested."""
    why: str
    """What it rests on, or why there is none."""


def supported(name: str, samples: Sequence[Sample], current: float, default: float | None, chance: float) -> Supported:
    """The limit of a figure that a run supports.

    Args:
        name: of the figure, one of `KNOWN`.
        samples: its comparisons, at least one; all must keep the limit.
        current: the limit in force.
        default: the limit without the config's own.
        chance: that another run breaks it in one comparison.
    """
    figure, losses = FIGURES[name], [one.observed(name) for one in samples]
    bounds = [one.bound(name, chance) for one in samples]
    observed = _value(figure, float(np.max(losses)))

    def says(limit: float | None, why: str) -> Supported:
        return Supported(figure, current, observed, limit, why)

    if not np.isfinite(losses).all():
        return says(None, "not finite: look at it first")
    best = max(samples, key=lambda one: len(one.losses))
    if all(bound is None for bound in bounds):
        there = f"{len(best.by_prompt)} prompts, {len(best.losses)} positions"
        return says(None, f"too small a sample: {there}; {_PROMPTS} and {_POSITIONS} that differ at all are needed")
    for one, loss, bound in zip(samples, losses, bounds, strict=True):
        if bound is not None and loss > bound:
            return says(None, f"the worst of {one.where} lies beyond the tail of its others: look at it first")
    known = [-np.inf if bound is None else bound for bound in bounds]
    at, worst = int(np.argmax(known)), int(np.argmax(losses))
    if losses[worst] > known[at]:
        few = f"{samples[worst].where}, of {len(samples[worst].by_prompt)} prompts,"
        return says(None, f"{few} is beyond what the other comparisons support, and too small a sample to support more")
    limit = _lenient(figure, known[at])
    if limit == current:
        return says(None, "supported as it is")
    why = f"{_rule(name, samples[at], chance)}, observed {_value(figure, losses[at]):.8g}"
    if figure.within(limit, current):
        return says(limit, why)
    why = f"the run itself does not support {current:g}: {why}"
    if default is None or figure.within(limit, default):
        return says(limit, why)
    if figure.within(observed, current):
        # It keeps the limit all the same: an extrapolation is no reason to loosen one, more prompts may settle it.
        return says(
            None, f"{why}; {limit:g} would be looser than the default {default:g}: more --prompts may support it"
        )
    return says(limit, f"LOOSER THAN THE DEFAULT {default:g}, find the cause first; {why}")


def _rule(name: str, sample: Sample, chance: float) -> str:
    there = f"{sample.where} ({len(sample.by_prompt)} prompts, {len(sample.losses)} positions)"
    if name == AGREEMENT:
        return f"lower end of the 95 % interval of {there}"
    return f"the {'largest' if name in EXTREMES else 'mean'} of 1 in {1 / chance:.0f} runs as {there} breaks it"


def _value(figure: Figure, loss: float) -> float:
    """A loss in the figure's own unit."""
    return 1 - loss if figure.sense == "min" else loss


def _lenient(figure: Figure, loss: float) -> float:
    """Two significant digits of a loss, rounded up, in the figure's own unit."""
    digits = 1 - int(np.floor(np.log10(loss)))
    up = np.ceil(round(loss * 10.0**digits, 6)) / 10.0**digits
    return round(_value(figure, float(up)), digits)
