"""Flips against what rounding explains, of a model that is often unsure."""

import numpy as np
import pytest

from npu_conformance.measure.noise import TESTS, GateResult
from tests.unit.helpers.rounded_rows import ALARMS, LIMITS, Rows, measured, references, rounded

_SHARE = 1e-3 / 8
"""Of the rate of false alarms, that one of eight gates has in one of ten variants."""


def unsure(seed: int) -> Rows:
    """References of which every other position has a runner-up that is near, by up to forty spreads of a lead."""
    exact, rng = references(seed), np.random.default_rng(1000 + seed)
    for one in exact:
        for row in one[::2]:
            first, second = np.argsort(-row)[:2]
            row[second] = row[first] - rng.uniform(0, 0.7)
    return exact


def judged(run: Rows, exact: Rows, test: str = "excess_flips") -> GateResult:
    """Against three floor runs."""
    floor = {str(seed): measured(rounded(exact, seed), exact) for seed in (11, 12, 13)}
    result = TESTS[test](measured(run, exact), floor, LIMITS.get(test, ALARMS))
    assert isinstance(result, GateResult)
    return result


def exchanged(run: Rows, exact: Rows, within: float) -> Rows:
    """The two largest logits exchanged wherever the reference's are within so much of each other."""
    changed = [one.copy() for one in run]
    for one, theirs in zip(changed, exact, strict=True):
        for row, reference in zip(one, theirs, strict=True):
            first, second = np.argsort(-reference)[:2]
            if reference[first] - reference[second] < within:
                low, high = sorted((row[first], row[second]))
                row[first], row[second] = low, high + 1e-4
    return changed


def starts(exact: Rows) -> list[int]:
    """First position of each prompt."""
    return [0, *np.cumsum([len(one) for one in exact]).tolist()][:-1]


@pytest.mark.parametrize("seed", range(30))
def test_one_token_that_rounding_does_not_explain(seed: int) -> None:
    """Flips of near ties pass; one runner-up that is ahead in spite of a lead of some seven spreads or more fails."""
    exact = unsure(seed)
    run = rounded(exact, 100 + seed)
    clean = judged(run, exact, "unlikely_flips")
    leads = [np.diff(np.sort(row)[-2:]).item() for one in exact for row in one]
    at = int(np.abs(np.array(leads) - 0.2).argmin())
    row, theirs = (np.concatenate(one)[at] for one in (run, exact))
    first, second = np.argsort(-theirs)[:2]
    row[second] = row[first] + 1e-3
    broken = [*run]
    prompt, step = next((i, at - start) for i, start in enumerate(starts(exact)) if at < start + len(exact[i]))
    broken[prompt] = run[prompt].copy()
    broken[prompt][step] = row
    found = judged(broken, exact, "unlikely_flips")

    assert clean.tested.p_value > 0.01
    assert clean.tested.observed <= clean.allowed
    assert found.tested.p_value <= _SHARE
    assert found.tested.observed > found.allowed
    assert found.worst == at


def test_equal_logits_of_the_candidate_are_a_flip_of_their_own_lead() -> None:
    """As half-precision logits often are; not one of the last runner-up's."""
    exact = references()
    first, second = np.sort(np.argsort(-exact[0][2])[:2])[::-1]
    for one, lead in ((exact, 0.005), (run := rounded(exact, 50), 0.0)):
        one[0][2, [first, second]] = one[0][2].max() + 1
        one[0][2, first] += lead
    assert measured(run, exact).flipped[2]

    assert judged(run, exact, "unlikely_flips").tested.observed < 1


def test_a_token_beyond_the_runners_up() -> None:
    """Is held against the last of them, whose lead is the largest that is known."""
    exact = references()
    run = rounded(exact, 50)
    run[0][2, np.argsort(-exact[0][2])[50]] = exact[0][2].max() + 1
    found = judged(run, exact, "unlikely_flips")

    assert (found.worst, found.tested.p_value <= 1e-9) == (2, True)


@pytest.mark.parametrize("seed", range(30))
def test_what_rounding_exchanges_is_no_excess(seed: int) -> None:
    """A run with flips passes: as many are expected. With all near ties exchanged it fails."""
    exact = unsure(seed)
    run = rounded(exact, 100 + seed)
    clean, broken = judged(run, exact), judged(exchanged(run, exact, 0.07), exact)

    assert clean.tested.p_value > 0.01
    assert clean.tested.observed <= clean.allowed
    assert broken.tested.p_value <= _SHARE


def test_flips_of_a_model_that_is_sure_are_an_excess() -> None:
    """Where the floor has none, and no margin is small: one is too many."""
    exact = references()
    for one in exact:
        first = one.argmax(axis=1)
        one[np.arange(len(one)), first] += 3
    run = rounded(exact, 50)
    run[3][4, np.argsort(-run[3][4])[1]] = run[3][4].max() + 1e-3
    result = judged(run, exact)

    assert result.tested.p_value <= 1e-9
    assert (result.allowed, result.worst) == (0, sum(map(len, exact[:3])) + 4)


def test_equal_logits_are_as_likely_exchanged_as_not() -> None:
    """Even without an error anywhere, as of a reference that rounds its own logits."""
    exact = references()
    for one in exact[:20]:
        one[0, np.argsort(-one[0])[1]] = one[0].max()
    floor = {str(seed): measured(exact, exact) for seed in (1, 2, 3)}
    result = TESTS["excess_flips"](measured(exact, exact), floor, LIMITS["excess_flips"])

    assert isinstance(result, GateResult)
    assert result.tested.p_value == 1
    assert result.allowed * result.n > 20 * 0.5


@pytest.mark.filterwarnings("error")
def test_a_position_of_which_no_runner_up_is_known() -> None:
    """As where a server tells one word: the spread of all positions counts there, and numpy has nothing to warn of."""
    exact = unsure(3)
    floor = {str(seed): measured(rounded(exact, seed), exact) for seed in (11, 12, 13)}
    for one in floor.values():
        one.difference[2] = np.nan
    found = TESTS["unlikely_flips"](measured(rounded(exact, 50), exact), floor, LIMITS.get("unlikely_flips", ALARMS))

    assert isinstance(found, GateResult)
    assert np.isfinite(found.tested.observed)
