"""What cannot be compared: it fails or is in error, by name, and is never passed."""

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.errors import TraceError
from npu_conformance.measure.compare import compare
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.scenes import SCORED, Scene


def nan_in_row_7(rows: Rows) -> Rows:
    """A single NaN."""
    rows[7, 3] = np.nan
    return rows


@pytest.mark.parametrize("side", ["candidate", "reference"])
def test_nan_fails_finiteness_and_nothing_is_compared(scene: Scene, side: str) -> None:
    """What rests on the damaged logits is in error, never passed and never skipped."""
    scene.edit_logits(side, 1, nan_in_row_7)
    found = scene.verdicts()

    assert found["finite_logits"] == "fail"
    assert found["token_agreement"] == found["logits_closeness"] == "error"
    (bad,) = [check for check in CHECKS["finite_logits"].judge(scene.evidence()) if check.verdict == "fail"]
    assert f"set/second, position 7: 1 NaN and 0 infinite of 20 logits of the {side}" in (bad.where or "")


def test_other_prompt_tokens_are_a_failure_and_no_number_is_made(scene: Scene) -> None:
    """Nothing is compared between different prompts."""
    scene.edit_answer("candidate", 1, prompt_ids=[1, 9, 4])
    found = scene.verdicts()

    assert found["prompt_tokens"] == "fail"
    assert found["token_agreement"] == found["logits_closeness"] == found["finite_logits"] == "error"


@pytest.mark.parametrize(
    ("side", "changes", "message"),
    [
        ("reference", {"prompt": "set/other"}, "prompts differ"),
        ("reference", {"token_ids": [5] * 200}, "scored other tokens"),
    ],
)
def test_traces_of_different_runs_are_refused(
    scene: Scene, side: str, changes: dict[str, object], message: str
) -> None:
    """By name of what differs."""
    scene.edit_answer(side, 0, **changes)

    with pytest.raises(TraceError, match=message):
        _ = scene.evidence().comparison


def test_another_vocabulary_is_refused(scene: Scene) -> None:
    """Rows are never cut to fit."""
    scene.edit_logits("reference", 0, lambda rows: rows[:, :-1])

    with pytest.raises(TraceError, match="vocabulary of 20 words in the candidate's logits, 19 in the reference's"):
        compare(*(load_trace(scene.folder / side) for side in ("candidate", "reference")))


def test_nothing_passes_on_nothing(scene: Scene) -> None:
    """Empty answers are an error."""
    for side in ("candidate", *SCORED):
        for index in range(3):
            scene.edit_answer(side, index, token_ids=[], repeat_token_ids=[], repeat_digests=[])
            np.save(scene.folder / side / f"{index:04d}.npy", np.empty((0, 20), dtype=np.float32))
    evidence = scene.evidence()

    with pytest.raises(TraceError, match="no position to compare"):
        compare(evidence.candidate, evidence.reference)
