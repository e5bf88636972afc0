"""A server's answers against the baseline of the engine it was when it was accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.baselines.stored import Baseline
from npu_conformance.statistics import mean_above
from npu_conformance.ties import tie_widths
from npu_conformance.watch.asking import Said

LIMIT = 2.0
"""Times the noise floor that the error may be: a server runs other kernels, batches and graphs than base."""
CHANCE = 1e-5
"""Of a false alarm in one check: one a year, at a check every five minutes."""
# Of no engine that rounds, however few prompts say so.
_BEYOND = 10.0
# Fewer words at a position tell no error.
_SHARED = 2
_PROMPTS = 3


@dataclass(frozen=True)
class Found:
    """What a check found."""

    positions: int
    """At which the server had seen the baseline's tokens."""
    prompts: int
    ratio: float
    """The error over the noise floor, geometric mean over prompts; NaN where logits are."""
    p_value: float
    """Of this or more in a server that is just within the limit."""
    broken: tuple[str, ...]
    """Tokens that are neither the baseline's nor tied with them, and log-probabilities that are no numbers."""

    @property
    def alarm(self) -> str | None:
        """What is wrong, in words; None where nothing is."""
        if self.broken:
            more = f" (and {len(self.broken) - 1} more)" if self.broken[1:] else ""
            return self.broken[0] + more
        if self.prompts < _PROMPTS:
            return f"{self.prompts} prompts can be compared: at least {_PROMPTS} are needed"
        # Written so that NaN alarms.
        if not (self.ratio <= _BEYOND and self.p_value > CHANCE):
            return (
                f"the error is {self.ratio:.3g} times the noise floor's, allowed are {LIMIT:g} (p {self.p_value:.2g})"
            )
        return None


def chosen_prompts(baseline: Baseline, count: int) -> list[int]:
    """Indices of so many prompts, spread over the baseline's."""
    there = len(baseline.prompts)
    return sorted({int(at) for at in np.linspace(0, there - 1, min(count, there)).round()})


def judge(baseline: Baseline, answers: dict[int, Sequence[Said]]) -> Found:
    """Hold answers, by the prompt's index, against a baseline."""
    ratios, broken, positions = [], [], 0
    for prompt, said in answers.items():
        alike = _alike(said, baseline.tokens[prompt])
        positions += alike
        broken += [told for step in range(alike) if (told := _broken(baseline, prompt, step, said[step])) is not None]
        here = [_over_floor(baseline, baseline.bounds[prompt] + step, said[step]) for step in range(alike)]
        known = [one for one in here if one is not None]
        if known:
            ratios.append(float(np.mean(known)))
    if len(ratios) < _PROMPTS:
        return Found(positions, len(ratios), float("nan"), float("nan"), tuple(broken))
    tested = mean_above(np.array(ratios), float(np.log(LIMIT)))
    return Found(positions, len(ratios), float(np.exp(tested.observed)), tested.p_value, tuple(broken))


def _alike(said: Sequence[Said], tokens: Sequence[int]) -> int:
    """Positions after the same tokens: up to and including the first that gave another one."""
    pairs = enumerate(zip(said, tokens, strict=False))
    different = next((step for step, (one, token) in pairs if one.token != token), None)
    return min(len(said), len(tokens)) if different is None else different + 1


def _broken(baseline: Baseline, prompt: int, step: int, said: Said) -> str | None:
    """What of a position no rounding explains."""
    expected, at = baseline.tokens[prompt][step], baseline.bounds[prompt] + step
    place = f"{baseline.prompts[prompt].id}, position {step}"
    if not np.isfinite(list(said.log_probs.values())).all() or said.token not in said.log_probs:
        return f"{place}: log-probabilities that are no numbers"
    if said.token == expected:
        return None
    lead = said.log_probs[said.token] - said.log_probs.get(expected, -np.inf)
    words = {int(word): float(baseline.exact.log_probs[at, index]) for index, word in enumerate(baseline.words[at])}
    margin = words.get(expected, -np.inf) - words.get(said.token, -np.inf)
    # Minus infinity twice is no margin at all, and no tie.
    if max(lead, abs(margin)) <= _widths(baseline)[at]:
        return None
    now, then = (baseline.pieces.get(token, "") for token in (said.token, expected))
    return (
        f"{place}: the server says {now!r} (#{said.token}), {lead:.3g} ahead of the baseline's {then!r} (#{expected}), "
        f"rounding explains {_widths(baseline)[at]:.3g}"
    )


def _over_floor(baseline: Baseline, at: int, said: Said) -> float | None:
    """Logarithm of the error over the noise floor's, over the words that both know; None where these are too few."""
    words = [index for index, word in enumerate(baseline.words[at].tolist()) if word in said.log_probs]
    if len(words) < _SHARED:
        return None
    now = np.array([said.log_probs[int(baseline.words[at, index])] for index in words])
    exact = baseline.exact.log_probs[at, words]
    floor = [run.log_probs[at, words] - exact for run in baseline.realised.values()]
    level = np.sqrt(np.square(floor).mean())
    # What float32 resolves of a log-probability: a floor below it would make a giant of nothing.
    smallest = 2.0**-20
    return float(np.log(max(np.sqrt(np.square(now - exact).mean()), smallest) / max(level, smallest)))


def _widths(baseline: Baseline) -> NDArray[np.float64]:
    """By how much a token may lead another and yet be exchanged with it [positions], in logits."""
    return np.asarray(tie_widths(baseline.floor_deviations).positions * baseline.sizes)
