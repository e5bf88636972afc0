"""Gates over few words: the floor is measured over the words of the candidate, and is as seldom wrong as with all."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import DEVIATIONS, Deviations
from npu_conformance.measure.few_floor import over_words
from npu_conformance.measure.few_words import measure_words
from npu_conformance.measure.noise import family
from npu_conformance.measure.topk import WORDS, likeliest, topk
from npu_conformance.traces.topk_rows import TopKRows
from tests.unit.helpers.rounded_rows import LIMITS, Rows, references, rounded
from tests.unit.helpers.topk_traces import of_rows

TOP = 20


def run_of(exact: Rows, seed: int, times: float = 1) -> Rows:
    """A run that errs so many times as the floor does."""
    return [one.astype(np.float32) for one in rounded(exact, seed, 0.005 * times, scatter=0.15)]


def judged(candidate: Rows, exact: Rows, runs: list[Rows], count: int) -> dict[str, float]:
    """Adjusted p-values of a candidate that gives so many words, by gate."""
    theirs = np.concatenate(exact).astype(np.float32)
    mine, bounds = of_rows(np.concatenate(candidate), count), (0, *np.cumsum([len(one) for one in exact]).tolist())
    words = likeliest(theirs, WORDS)
    floor = over_words(mine, theirs, {str(at): topk(np.concatenate(run), words) for at, run in enumerate(runs)})
    columns = measure_words("set/0", mine, theirs, None)
    sets = tuple("chinese" if place % 5 == 0 else "general" for place in range(len(exact)))
    own: dict[str, Any] = {name: columns[name] for name in DEVIATIONS}
    deviations = Deviations(bounds, **own, sets=sets)
    whole = {name: replace(one, bounds=bounds) for name, one in floor.items()}
    return {name: p for (name, _), p in family(deviations, None, whole, LIMITS, FALSE_ALARMS).adjusted.items()}


def clean(exact: Rows, seed: int) -> Rows:
    """Nothing wrong."""
    return run_of(exact, seed)


def larger(exact: Rows, seed: int) -> Rows:
    """Twice the floor's error."""
    return run_of(exact, seed, 2)


def scaled(exact: Rows, seed: int) -> Rows:
    """All logits are 1 % larger."""
    return [one * np.float32(1.01) for one in run_of(exact, seed)]


def failing(change: Callable[[Rows, int], Rows], seeds: range, count: int = TOP) -> Iterator[set[str]]:
    """Gates that fail, by seed."""
    for seed in seeds:
        exact = references(seed)
        runs = [run_of(exact, 1000 * seed + one) for one in range(4)]
        found = judged(change(exact, 1000 * seed + 10), exact, runs, count)
        yield {name for name, p_value in found.items() if not p_value > FALSE_ALARMS}


@pytest.mark.parametrize("count", [TOP, 5])
def test_a_run_without_a_fault_is_hardly_ever_flagged(count: int) -> None:
    """At the rate of a run of one variant: 1 in 100, so 4 of 100 would be a chance of 1 in 50."""
    assert sum(map(bool, failing(clean, range(100), count))) < 4


@pytest.mark.parametrize(
    ("change", "gate"), [(larger, "error_over_floor"), (larger, "peak_over_floor"), (scaled, "signed_bias")]
)
def test_a_fault_is_found_in_few_words(change: Callable[[Rows, int], Rows], gate: str) -> None:
    """By the gate that finds it in whole rows."""
    assert all(gate in found for found in failing(change, range(5)))


def test_the_floor_is_of_the_words_that_the_candidate_tells() -> None:
    """A word that it lacks, and of which its least says nothing, counts on neither side."""
    exact = np.array([[5.0, 4.9, 4.0, 3.0, 1.0, 0.0]], dtype=np.float32)
    off = exact + np.array([[0.0, 0.5, 0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    run = {"run": topk(off, likeliest(exact, WORDS))}
    both = of_rows(exact, 4)
    # Of the two likeliest it tells the first; its least is as likely as the second is to the reference.
    one = TopKRows(np.array([[0, 2]], np.int32), both.log_probs[:, :2] + [[0.0, 0.2]], both.tail, both.rms)

    assert np.exp(over_words(both, exact, run)["run"].row) > 0.05
    assert np.exp(over_words(one, exact, run)["run"].row) < 0.09
    assert np.isnan(over_words(one, exact, run)["run"].margin).all()
    assert not np.isnan(over_words(both, exact, run)["run"].margin).all()
