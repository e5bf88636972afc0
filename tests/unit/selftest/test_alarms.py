"""How often the verdict is wrong: sets of prompts of one run, judged as if each were a run of its own."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.results import Result
from npu_conformance.selftest import alarms
from npu_conformance.selftest.alarms import Alarms, Count, alarms_table, upper_bound
from npu_conformance.selftest.drawn import draw, floor_run_as_candidate
from tests.unit.helpers.scenes import Scene

JUDGED = ("token_agreement", "logits_closeness", "decode_against_prefill", "error_over_floor", "answer_ends")


def results(evidence: Evidence) -> list[Result]:
    """Of checks that depend on which prompts are asked."""
    return [result for check in JUDGED for result in CHECKS[check].judge(evidence)]


def test_all_prompts_of_a_run_are_the_run(scene: Scene) -> None:
    """To the last digit, with no row read again."""
    evidence = scene.evidence()
    whole = results(evidence)
    drawn = draw(evidence, range(3))
    for path in scene.folder.rglob("[0-9]*.npy"):
        path.unlink()

    assert results(drawn) == whole


def test_some_prompts_are_what_a_run_of_them_gives(scene: Scene) -> None:
    """In the order given; other prompts' faults are not theirs."""
    scene.edit_logits("candidate", 1, lambda rows: rows * np.float32(1.2))
    evidence = scene.evidence()
    without, alone = (draw(evidence, chosen) for chosen in ((0, 2), (1,)))

    assert without.comparison.prompts == ("set/first", "set/third")
    assert len(without.comparison) == 400
    (mean,) = (one for one in results(without) if one.metric == "relative_l2_mean" and one.check == "logits_closeness")
    assert mean.observed == pytest.approx(
        evidence.comparison.values["relative_l2"][[*range(200), *range(400, 600)]].mean()
    )
    assert {one.verdict for one in results(without)} <= {"pass", "shown", "inconclusive", "not_applicable"}
    assert "fail" in {one.verdict for one in results(alone)}


def test_a_floor_run_is_judged_as_a_candidate(scene: Scene) -> None:
    """Against the others; it has no prefill."""
    drawn = draw(scene.evidence(), range(3))
    run = floor_run_as_candidate(drawn, "eager")

    assert set(run.floor) == set(drawn.floor) - {"eager"}
    assert drawn.noise is not None
    np.testing.assert_array_equal(run.deviations.row, drawn.noise.runs["eager"].comparison.deviations.row)
    found = {one.check: one.verdict for one in results(run)}
    assert (found["decode_against_prefill"], found["error_over_floor"]) == ("not_applicable", "pass")


def test_sets_of_a_deal_share_no_prompt() -> None:
    """And each deal is another."""
    dealt = list(alarms._sets(50, 12))

    assert len(dealt) == 4 * alarms._DEALS
    for start in range(0, len(dealt), 4):
        assert len({prompt for one in dealt[start : start + 4] for prompt in one}) == 48
    assert dealt[:4] != dealt[4:8]


def test_what_fails_is_counted_with_the_check(scene: Scene) -> None:
    """A set with a fault is a failure, whichever check sees it."""
    scene.edit_logits("candidate", 1, lambda rows: rows * np.float32(1.2))
    by = Counter[str]()
    noise = load_floor(scene.folder)
    whole = dataclasses.replace(scene.evidence(), noise=noise)

    assert alarms._verdict(draw(whole, range(3)), by) == "fail"
    assert by["logits_closeness: relative_l2_mean"] == 1
    assert by["worst_positions: worst_positions"] == 1


def test_none_in_a_thousand_is_not_never() -> None:
    """The bound is the rate at which so clean a study would be a chance of one in twenty."""
    assert upper_bound(0, 1000, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert upper_bound(0, 1000, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(3, 3, 3) == 1.0
    engine = (Count(size=12, sets=160, independent=16, failed=0, inconclusive=40, by_gates=8),)
    runs = (Count(size=12, sets=640, independent=64, failed=7, inconclusive=0, by_gates=0),)
    page = alarms_table([Alarms(subject="a", prompts=200, engine=engine, floor_runs=runs, by={"drift: drift": 7})])
    assert "| the engine | 12 | 160 | 0 | 17.1% (worth 16 sets) | 25.0% | 5.0% |" in page
    assert "| a | 200 | 0 of 160 | 7 of 640 | drift: drift (7) |" in page
