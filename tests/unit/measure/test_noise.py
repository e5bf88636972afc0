"""Deviations by hand, and each calibrated test on a candidate that only it sees through."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.measure.compare import compare
from npu_conformance.measure.kernel import RUNNERS_UP
from npu_conformance.measure.noise import TESTS, WORST, GateResult, NoAnswer, family
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.rounded_rows import ALARMS, LIMITS, VOCABULARY, Rows, measured, references, rounded
from tests.unit.helpers.small_traces import WORDS, logits, moved, tokens_of, write_trace


def found(candidate: Rows, exact: Rows) -> dict[str, GateResult]:
    """All tests, against three floor runs."""
    floor = {f"floor run {seed}": measured(rounded(exact, seed), exact) for seed in (11, 12, 13)}
    mine, results = measured(candidate, exact), {}
    for name, test in TESTS.items():
        result = test(mine, floor, LIMITS.get(name, ALARMS))
        assert isinstance(result, GateResult)
        results[name] = result
    return results


def alarms(results: dict[str, GateResult]) -> set[str]:
    """Tests that find the candidate beyond their limit."""
    return {name for name, one in results.items() if one.tested.p_value <= ALARMS}


@pytest.mark.parametrize("seed", range(20, 30))
def test_another_realisation_is_clean(seed: int) -> None:
    """Its error is the floor's, and everything lies within the limits with room to spare."""
    exact = references(seed)
    results = found(rounded(exact, 100 + seed), exact)

    assert alarms(results) == set()
    assert results["error_over_floor"].tested.observed == pytest.approx(1.0, abs=0.15)
    for name in ("error_over_floor", "peak_over_floor", "signed_bias", "drift"):
        interval = results[name].tested.interval
        assert interval is not None
        assert interval[1] <= LIMITS[name]


def larger(exact: Rows) -> Rows:
    """Errors half as large again."""
    return rounded(exact, 50, 0.0075)


def one_word(exact: Rows) -> Rows:
    """One word's logit, everywhere, by 0.03 of the rows' size: little in a vocabulary of 300."""
    run = rounded(exact, 50)
    for one, theirs in zip(run, exact, strict=True):
        one[:, 3] += 0.03 * np.sqrt((theirs**2).mean(axis=1))
    return run


def scaled(exact: Rows) -> Rows:
    """Logits scaled by less than a quarter of the mean error."""
    return [one * 1.0012 for one in rounded(exact, 50)]


def one_position(exact: Rows) -> Rows:
    """A single position that is off by ten times the mean error."""
    run = rounded(exact, 50)
    run[7][5] += 0.1 * np.sqrt((exact[7][5] ** 2).mean()) * np.random.default_rng(1).normal(size=VOCABULARY)
    return run


def one_logit(exact: Rows) -> Rows:
    """A single logit of one position."""
    run = rounded(exact, 50)
    run[7][5, 3] += 0.5
    return run


def growing(exact: Rows) -> Rows:
    """Errors that are smaller at first and larger later, the same on the whole."""
    run = rounded(exact, 50)
    return [a + (b - a) * np.linspace(0.6, 1.4, len(a))[:, None] for a, b in zip(exact, run, strict=True)]


def flipping(exact: Rows) -> Rows:
    """Two tokens of every prompt are others than the reference's, by as little as may be."""
    run = rounded(exact, 50)
    for one in run:
        for step in (2, 7):
            first, second = np.argsort(-one[step])[:2]
            one[step, second] = one[step, first] + 1e-3
    return run


def one_prompt(exact: Rows) -> Rows:
    """Twice the error all along one prompt, as of the only one in its language."""
    run = rounded(exact, 50)
    run[17] = rounded(exact, 50, 0.01)[17]
    return run


def one_set(exact: Rows) -> Rows:
    """Errors half as large again in one prompt set of two, the smaller."""
    run, worse = rounded(exact, 50), rounded(exact, 50, 0.0075)
    return [worse[place] if place % 5 == 0 else one for place, one in enumerate(run)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (larger, {"error_over_floor", "peak_over_floor", "sets_over_floor"}),
        (one_word, {"peak_over_floor"}),
        (scaled, {"signed_bias"}),
        (one_position, {"worst_positions", "worst_logits"}),
        (one_logit, {"worst_logits"}),
        (growing, {"drift"}),
        (one_prompt, {"worst_prompts"}),
        (one_set, {"sets_over_floor"}),
    ],
)
def test_each_sees_what_the_others_do_not(change: Callable[[Rows], Rows], expected: set[str]) -> None:
    """Small everywhere, of one sign, in one place, in one word, or growing."""
    exact = references()

    assert alarms(found(change(exact), exact)) == expected


def test_flips_that_no_realisation_has() -> None:
    """Each prompt has two; what makes them so is seen elsewhere too."""
    exact = references()
    result = found(flipping(exact), exact)["excess_flips"]

    assert result.tested.p_value <= 1e-9
    assert result.tested.observed > 0.05


def test_nan_is_beyond_every_limit() -> None:
    """And is the worst position."""
    exact = references()
    run = rounded(exact, 50)
    run[3][1, 4] = np.nan
    results = found(run, exact)

    for name in ("error_over_floor", "signed_bias"):
        assert not results[name].tested.p_value > ALARMS
    for name in ("worst_positions", "worst_logits"):
        assert not results[name].tested.p_value > ALARMS
        assert results[name].worst == sum(map(len, exact[:3])) + 1


def test_nan_is_rejected_by_the_family() -> None:
    """Whatever the others say: by every test that cannot be sure of it."""
    exact = references()
    floor = {f"floor run {seed}": measured(rounded(exact, seed), exact) for seed in (11, 12, 13)}
    run = rounded(exact, 50)
    run[3][1, 4] = np.nan
    judged = family(measured(run, exact), None, floor, LIMITS, ALARMS)

    assert all(
        not judged.adjusted[name, "decode"] > ALARMS
        for name in ("error_over_floor", "peak_over_floor", "sets_over_floor", "signed_bias", *WORST)
    )


def test_what_the_worst_may_reach_is_what_decides() -> None:
    """With Holm's share of the chance, as the p-value is adjusted."""
    exact = references()
    floor = {f"floor run {seed}": measured(rounded(exact, seed), exact) for seed in (11, 12, 13)}
    for size in np.linspace(0.01, 0.2, 12):
        run = rounded(exact, 50)
        run[7][5] += size * np.sqrt((exact[7][5] ** 2).mean()) * np.random.default_rng(1).normal(size=VOCABULARY)
        judged = family(measured(run, exact), None, floor, LIMITS, ALARMS)
        for name in ("worst_positions", "worst_logits"):
            one = judged.found[name, "decode"]
            assert isinstance(one, GateResult)
            assert (one.tested.observed > one.allowed) == (judged.adjusted[name, "decode"] <= ALARMS)


def test_too_little_says_nothing() -> None:
    """Instead of passing."""
    exact = references()[:2]
    floor = {str(seed): measured(rounded(exact, seed), exact) for seed in (1, 2, 3)}
    mine = measured(rounded(exact, 4), exact)
    told: dict[str, NoAnswer] = {}
    for name, test in TESTS.items():
        if isinstance(found := test(mine, floor, LIMITS.get(name, ALARMS)), NoAnswer):
            told[name] = found

    few = NoAnswer("2 prompts: at least 3 are needed", of_prompts=True)
    assert told["error_over_floor"] == told["signed_bias"] == few
    assert told["sets_over_floor"] == NoAnswer("no set has 3 prompts")
    assert told["worst_prompts"] == NoAnswer("2 prompts: at least 34 are needed")
    assert told["worst_positions"].why.endswith("positions: at least 100 are needed")
    assert told["drift"].why.endswith("answers of 16 tokens or more: at least 3 are needed")


@pytest.mark.parametrize(("limit", "needed"), [(1.02, None), (1.08, 19), (1.12, 42), (1.3, None)])
def test_prompts_needed(limit: float, needed: int | None) -> None:
    """With that many the interval, 1.05 to 1.16 of six, would end at the limit; none where it lies on one side."""
    few = references()[:6]
    floor = {str(seed): measured(rounded(few, seed), few) for seed in (1, 2, 3)}
    result = TESTS["error_over_floor"](measured(rounded(few, 4, 0.0056), few), floor, limit)
    assert isinstance(result, GateResult)

    assert result.tested.interval == pytest.approx((1.053, 1.158), abs=0.005)
    assert result.prompts_needed == needed


def test_deviations_of_traces_by_hand(tmp_path: Path) -> None:
    """Each number from its definition, at judged positions only."""
    exact = logits(2, 4)
    run = [moved(one, 0.01) for one in exact]
    tokens = tokens_of(exact)
    traces = [
        load_trace(write_trace(tmp_path / name, rows, tokens=tokens)) for name, rows in (("a", run), ("b", exact))
    ]
    told = compare(traces[0], traces[1]).deviations

    assert told.bounds == (0, 4, 8)
    assert np.exp(told.row) == pytest.approx(0.01, rel=1e-4)
    mine, theirs = run[1][2].astype(np.float64), exact[1][2].astype(np.float64)
    size = np.sqrt((theirs**2).mean())
    assert np.exp(told.logit[6]) == pytest.approx(np.abs(mine - theirs).max() / size)
    slope = np.polyfit(theirs - theirs.mean(), mine - theirs, 1)[0]
    assert told.gain[6] == pytest.approx(slope)
    order = np.argsort(-theirs)[: RUNNERS_UP + 1]
    assert told.difference[6] == pytest.approx(
        [(mine - theirs)[order[0]] - (mine - theirs)[at] for at in order[1:]] / size
    )
    assert told.difference.shape == (8, RUNNERS_UP)
    assert not told.flipped.any()
    assert exact[0].shape[1] == WORDS


def test_a_run_that_is_the_reference(tmp_path: Path) -> None:
    """Deviates by nothing that a logarithm could not hold."""
    exact = logits(2, 4)
    trace = load_trace(write_trace(tmp_path / "a", exact))
    told = compare(trace, trace).deviations

    assert np.isfinite(told.row).all()
    assert (told.row < -80).all()
    assert (told.gain == 0).all()


def test_choosing_prompts(tmp_path: Path) -> None:
    """In any order, one of them twice."""
    exact = logits(3, 4)
    told = compare(
        *(
            load_trace(write_trace(tmp_path / name, rows, tokens=tokens_of(exact)))
            for name, rows in (("a", [moved(one, 0.01 * (index + 1)) for index, one in enumerate(exact)]), ("b", exact))
        )
    ).deviations
    again = told.choose([2, 0, 2])

    assert again.bounds == (0, 4, 8, 12)
    assert np.exp(again.by_prompt(again.row)) == pytest.approx([0.03, 0.01, 0.03], rel=1e-4)
    assert again.lengths.tolist() == [4, 4, 4]
