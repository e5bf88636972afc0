"""The three-way comparison: each combination of faults, and what it implicates."""

from collections.abc import Callable

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.closeness import three_way
from npu_conformance.measure.noise import GateResult
from npu_conformance.measure.results import worst
from npu_conformance.measure.three_way import IMPLICATES, ThreeWay
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import PREFILL
from tests.unit.helpers.scenes import Scene, failing


def edit_prefill(scene: Scene, change: Callable[[Rows], Rows]) -> None:
    """Replace the rows of the prefill path, in all prompts."""
    for index in range(3):
        scene.edit_logits(f"candidate/{PREFILL}", index, change)


def edit_decode(scene: Scene, change: Callable[[Rows], Rows]) -> None:
    """Replace the rows of the decode path, in all prompts."""
    for index in range(3):
        scene.edit_logits("candidate", index, change)


def larger(rows: Rows) -> Rows:
    """By five percent."""
    return np.asarray(rows * np.float32(1.05))


def smaller(rows: Rows) -> Rows:
    """By as much."""
    return np.asarray(rows / np.float32(1.05))


def edit_both(scene: Scene, decode: Callable[[Rows], Rows], prefill: Callable[[Rows], Rows]) -> None:
    """Replace the rows of both paths."""
    edit_decode(scene, decode)
    edit_prefill(scene, prefill)


def test_both_paths_clean(scene: Scene) -> None:
    """Nothing is implicated."""
    assert three_way(scene.evidence()) == ThreeWay(True, True, True)
    assert worst(check.verdict for check in CHECKS["decode_against_prefill"].judge(scene.evidence())) == "pass"


@pytest.mark.parametrize(
    ("inject", "holding", "implicated"),
    [
        (lambda s: edit_decode(s, larger), ThreeWay(False, True, False), "decode alone: KV cache"),
        (lambda s: edit_prefill(s, larger), ThreeWay(True, False, False), "prefill alone: attention"),
        (lambda s: edit_both(s, larger, larger), ThreeWay(False, False, True), "what both paths share: weights"),
        (lambda s: edit_both(s, larger, smaller), ThreeWay(False, False, False), "and decode has a second error"),
    ],
    ids=["decode", "prefill", "both", "both, differently"],
)
def test_which_witnesses_break_says_where_to_look(
    scene: Scene, inject: Callable[[Scene], None], holding: ThreeWay, implicated: str
) -> None:
    """And the failing checks say it."""
    inject(scene)
    evidence = scene.evidence()

    assert three_way(evidence) == holding
    assert implicated in IMPLICATES[holding]
    assert bool(failing(CHECKS["logits_closeness"].judge(evidence))) is not holding.decode
    assert bool(failing(CHECKS["prefill_closeness"].judge(evidence))) is not holding.prefill
    told = [
        check.message or "" for check in CHECKS["decode_against_prefill"].judge(evidence) if check.verdict == "fail"
    ]
    assert bool(told) is not holding.own
    assert all(implicated in message for message in told)


def test_every_combination_has_its_words() -> None:
    """None of the eight is left open."""
    assert len(IMPLICATES) == 8
    assert len(set(IMPLICATES.values())) == 8


def exchanged(by: float) -> Callable[[Rows], Rows]:
    """The second largest logit of a row becomes the largest, by so much."""

    def change(rows: Rows) -> Rows:
        best, second = rows[10].argsort()[::-1][:2]
        rows[10, second] = rows[10, best] + by
        return rows

    return change


def test_another_token_that_no_rounding_explains_fails(scene: Scene) -> None:
    """Though one row in 200 hardly moves a mean."""
    edit_prefill(scene, exchanged(0.5))
    (tokens,) = [
        check
        for check in CHECKS["decode_against_prefill"].judge(scene.evidence())
        if check.metric == "equal_or_tied_tokens"
    ]

    assert (tokens.verdict, tokens.observed, tokens.limit) == ("fail", 597, 600)
    assert "set/first, position 10: decode" in (tokens.where or "")


def test_a_tie_is_told_and_passes(scene: Scene) -> None:
    """Both paths have the two words equally likely, up to an allowed error."""

    def near(rows: Rows) -> Rows:
        best, second = rows[10].argsort()[::-1][:2]
        rows[10, second] = rows[10, best] - np.float32(0.03125)
        return rows

    edit_decode(scene, near)
    edit_prefill(scene, lambda rows: exchanged(0.03125)(near(rows)))
    (tokens,) = [
        check
        for check in CHECKS["decode_against_prefill"].judge(scene.evidence())
        if check.metric == "equal_or_tied_tokens"
    ]

    assert (tokens.verdict, tokens.message) == ("pass", "3 tied")


def test_without_prefill_there_is_nothing_to_judge(scene: Scene) -> None:
    """As with transformers as the candidate: not applicable, with the reason, never passed."""
    (scene.folder / "candidate" / PREFILL).rename(scene.folder / "away")
    checks = [
        *CHECKS["prefill_closeness"].judge(scene.evidence()),
        *CHECKS["decode_against_prefill"].judge(scene.evidence()),
    ]

    assert {check.verdict for check in checks} == {"not_applicable"}
    assert three_way(scene.evidence()) is None


def test_nan_of_the_prefill_path_is_in_error(scene: Scene) -> None:
    """Nothing is compared with it, and the decode path stays judged."""
    edit_prefill(scene, lambda rows: np.asarray(rows * np.float32("nan")))
    evidence = scene.evidence()

    assert {check.verdict for check in CHECKS["prefill_closeness"].judge(evidence)} == {"error"}
    assert {check.verdict for check in CHECKS["decode_against_prefill"].judge(evidence)} == {"error"}
    assert {check.verdict for check in CHECKS["logits_closeness"].judge(evidence)} == {"pass", "shown"}


def test_a_gate_on_prefill_names_prefills_place(scene: Scene) -> None:
    """With its logits, not those of decode, which are innocent."""
    for index in range(3):
        scene.edit_logits(f"candidate/{PREFILL}", index, lambda rows: rows * 1.5)
    evidence = scene.evidence()
    assert evidence.prefill is not None
    decode, prefill = CHECKS["error_over_floor"].judge(evidence)

    assert (decode.verdict, prefill.verdict, prefill.path) == ("pass", "fail", "prefill")
    found = evidence.calibrated.found["error_over_floor", "prefill"]
    assert isinstance(found, GateResult)
    assert found.worst is not None
    assert prefill.where == evidence.prefill.place(found.worst) != evidence.pair.place(found.worst)
