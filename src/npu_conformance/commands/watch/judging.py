"""A server's answers against the baseline of the engine that it is to be still."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.baselines.stored import Baseline
from npu_conformance.engines.openai.client import TOP
from npu_conformance.engines.openai.replies import ServedToken
from npu_conformance.measure.statistics import mean_above
from npu_conformance.measure.ties import tie_widths
from npu_conformance.measure.topk import TopK
from npu_conformance.traces.tokens import comparable

LIMIT = 2.0
"""Times the baseline's that the error may be: a server runs other kernels, batches and graphs than base."""
CHANCE = 1e-5
"""Of a false alarm in one check: one a year, at a check every five minutes."""
PROMPTS = 3
"""Fewer tell nothing of their mean."""
# Of no engine that rounds, however few prompts say so.
_BEYOND = 10.0
# Fewer words at a position tell no error.
_WORDS = 2
# Share of the positions at which an error must be told.
_JUDGED = 0.5
# What float32 resolves of a log-probability: an error below it would make a giant of nothing.
_SMALLEST = 2.0**-20

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ServerCheck:
    """What a check found."""

    positions: int
    """At which the server had seen the baseline's tokens."""
    judged: int
    """Of these, such as tell an error."""
    prompts: int
    """That have one."""
    ratio: float
    """The error over the noise floor's or the baseline's run's, whichever is larger in a prompt; geometric mean over
    prompts."""
    p_value: float
    """Of this or more in a server that is just within the limit."""
    broken: tuple[str, ...]
    """Tokens that are neither the baseline's nor tied with them, answers that end too early, and log-probabilities that
    are no numbers."""

    @property
    def alarm(self) -> str | None:
        """What is wrong, in words; None where nothing is."""
        if self.broken:
            more = f" (and {len(self.broken) - 1} more)" if self.broken[1:] else ""
            return self.broken[0] + more
        if self.prompts < PROMPTS or self.judged < _JUDGED * self.positions:
            return (
                f"{self.judged} of {self.positions} positions, {self.prompts} prompts can be judged: "
                f"the server ranks fewer words than the {TOP} asked for, or others than the baseline's"
            )
        # Written so that NaN alarms.
        if not (self.ratio <= _BEYOND and self.p_value > CHANCE):
            return f"the error is {self.ratio:.3g} times the baseline's, allowed are {LIMIT:g} (p {self.p_value:.2g})"
        return None


def chosen_prompts(order: Sequence[int], count: int, turn: int) -> list[int]:
    """The prompts of a check: the next so many of an order, which begins again at its end.

    Args:
        order: indices of all prompts.
        count: of those asked in a check.
        turn: checks before this one.
    """
    there = len(order)
    return [int(order[(turn * count + at) % there]) for at in range(min(count, there))]


def judge(baseline: Baseline, answers: Mapping[int, Sequence[ServedToken]], tokens: int) -> ServerCheck:
    """Hold answers against a baseline.

    Args:
        baseline: of the engine that the server is to run.
        answers: by the prompt's index.
        tokens: asked for of each, where the baseline has as many.
    """
    widths, broken, ratios, positions, judged = _widths(baseline), list[str](), list[float](), 0, 0
    for prompt, said in answers.items():
        expected = baseline.tokens[prompt][:tokens]
        alike = comparable([one.token for one in said], expected)
        wrong = [_broken(baseline, prompt, step, said[step], widths) for step in range(alike)]
        wrong.append(_short(baseline, prompt, said, expected))
        sizes = [_sizes(baseline, baseline.bounds[prompt] + s, said[s]) for s in range(alike) if wrong[s] is None]
        told = [one for one in sizes if one is not None]
        if told:
            now, floor, then = np.mean(told, axis=0).tolist()
            # By prompt: at single positions the larger of two would often be the larger by chance, and allow more.
            ratios.append(now - max(floor, then))
        broken += [one for one in wrong if one is not None]
        positions, judged = positions + alike, judged + len(told)
    if len(ratios) < PROMPTS:
        return ServerCheck(positions, judged, len(ratios), float("nan"), float("nan"), tuple(broken))
    tested = mean_above(np.array(ratios), float(np.log(LIMIT)))
    return ServerCheck(positions, judged, len(ratios), float(np.exp(tested.observed)), tested.p_value, tuple(broken))


def _short(baseline: Baseline, prompt: int, said: Sequence[ServedToken], expected: Sequence[int]) -> str | None:
    """That an answer has the baseline's tokens, and not all of them."""
    taken = tuple(one.token for one in said)
    if len(taken) >= len(expected) or taken != tuple(expected[: len(taken)]):
        return None
    return (
        f"{baseline.prompts[prompt].id}: the server ends its answer after {len(taken)} of the {len(expected)} tokens "
        "that it was asked for and the baseline has"
    )


def _broken(baseline: Baseline, prompt: int, step: int, said: ServedToken, widths: Values) -> str | None:
    """What of a position no rounding explains."""
    expected, at = baseline.tokens[prompt][step], baseline.bounds[prompt] + step
    place = f"{baseline.prompts[prompt].id}, position {step}"
    if not np.isfinite(list(said.log_probs.values())).all() or said.token not in said.log_probs:
        return f"{place}: log-probabilities that are no numbers"
    if said.token == expected:
        return None
    lead = said.log_probs[said.token] - said.log_probs.get(expected, -np.inf)
    margins = [_margin(baseline, run, at, (expected, said.token)) for run in (baseline.exact, baseline.candidate_run)]
    # Written so that NaN alarms: of two words that the baseline lacks nothing says that they are tied.
    if lead <= widths[at] and any(margin <= widths[at] for margin in margins):
        return None
    now, then = (baseline.pieces.get(token, "") for token in (said.token, expected))
    return (
        f"{place}: the server says {now!r} (#{said.token}), {lead:.3g} ahead of the baseline's {then!r} (#{expected}), "
        f"rounding explains {widths[at]:.3g}"
    )


def _margin(baseline: Baseline, run: TopK, at: int, pair: tuple[int, int]) -> float:
    """How far two tokens are apart in a run of the baseline's; NaN where neither is among its words."""
    known = dict(zip(baseline.words[at].tolist(), run.log_probs[at].tolist(), strict=True))
    first, second = (float(known.get(token, -np.inf)) for token in pair)
    return abs(first - second)


def _sizes(baseline: Baseline, at: int, said: ServedToken) -> tuple[float, float, float] | None:
    """Logarithms of the errors of the server, of the noise floor and of the baseline's run, over the same words.

    None where too few words tell the server's.
    """
    exact = _with_others(baseline.exact, at)
    now = _least_wrong(baseline.words[at].tolist(), exact, said.log_probs)
    told = np.isfinite(now)
    if told.sum() < _WORDS:
        return None
    runs = [
        np.stack([_with_others(run, at) for run in baseline.floor_runs.values()]),
        _with_others(baseline.candidate_run, at),
    ]
    now_size, *allowed = (_size((run - exact)[..., told]) for run in (now, *runs))
    return now_size, allowed[0], allowed[1]


def _least_wrong(words: Sequence[int], exact: Values, ranked: Mapping[int, float]) -> Values:
    """What the server gives the words and all others together [words + 1], NaN where it tells no error.

    Of a word that it does not rank only the most is known, the least of those it does; of all others together only the
    least, those it ranks. Either tells an error where it lies beyond the reference's, and then that nearest to it: were
    such words left out, the worst positions would count least. The baseline's own answer so has no larger error
    than the run, whatever it ranked.
    """
    most = sorted(ranked.values())[-TOP] if len(ranked) >= TOP else np.inf
    unranked = [most if one > most else np.nan for one in exact[:-1].tolist()]
    now = [ranked.get(word, bound) for word, bound in zip(words, unranked, strict=True)]
    others = np.logaddexp.reduce([value for word, value in ranked.items() if word not in words])
    return np.array([*now, others if others > exact[-1] else np.nan])


def _with_others(run: TopK, at: int) -> Values:
    """Log-probabilities of the kept words at a position, and of all others together [words + 1]."""
    return np.append(run.log_probs[at], np.log(max(run.tail[at], np.finfo(np.float32).tiny)))


def _size(errors: Values) -> float:
    """Logarithm of their root mean square."""
    return float(np.log(max(np.sqrt(np.square(errors).mean()), _SMALLEST)))


def _widths(baseline: Baseline) -> Values:
    """By how much a token may lead another and yet be exchanged with it [positions], in logits.

    The noise floor's, wider by as much as the baseline's leads are more wrong than the floor's on the whole.
    """
    floor = tie_widths(baseline.floor_deviations)
    run = tie_widths({"candidate": baseline.deviations(baseline.candidate_run)})
    return np.asarray(floor.positions * baseline.sizes * max(1.0, run.overall / floor.overall))
