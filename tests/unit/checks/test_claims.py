"""Claims are counted: bit-identical rows against transformers', identical answers, and what n of n shows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.claims import ANSWERS, ROWS, at_least
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import ModelConfig
from npu_conformance.measure.columns import HASHES
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.kept import load_comparison, save_comparison
from npu_conformance.measure.rates import rate_interval
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.measure.results import Result
from npu_conformance.measure.stored import read_stored, write_stored
from npu_conformance.traces.rows import Rows, row_hashes
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.baseline_runs import baseline_of, held
from tests.unit.helpers.scenes import SCORED, Scene


def claimed(evidence: Evidence, metric: str) -> list[Result]:
    """The results of a claim."""
    check = "logits_closeness" if metric == ROWS else "token_agreement"
    return [one for one in CHECKS[check].judge(evidence) if one.metric == metric]


def as_candidate(scene: Scene, run: str, prompts: int) -> None:
    """Have a floor run be the candidate bit for bit in so many prompts."""
    for index in range(prompts):
        rows = load_trace(scene.folder / "candidate").logits(index)
        scene.edit_logits(f"{FLOOR}/{run}", index, lambda _, rows=rows: rows)  # type: ignore[misc]


def equal_rows(scene: Scene, run: str) -> int:
    """Rows of a floor run that are the candidate's, counted plainly."""
    sides = [load_trace(scene.folder / side) for side in ("candidate", f"{FLOOR}/{run}")]
    pairs = [[side.logits(index).view(np.uint32) for side in sides] for index in range(3)]
    return sum(int((mine == theirs).all(axis=1).sum()) for mine, theirs in pairs)


def test_rows_equal_to_transformers_are_counted(scene: Scene) -> None:
    """By the kind of attention that has most; a floor run with noise is no claim's transformers."""
    as_candidate(scene, "sdpa", 1)
    as_candidate(scene, "eager", 2)
    as_candidate(scene, "dithered1", 3)
    (found,) = claimed(scene.evidence(), ROWS)
    expected = {name: equal_rows(scene, name) for name in ("eager", "sdpa")}

    assert expected["eager"] >= 400 > expected["sdpa"] >= 200
    assert (found.verdict, found.observed, found.n, found.limit) == ("shown", expected["eager"], 600, None)
    assert found.message == f"{expected['eager']} of 600 as eager, {expected['sdpa']} of 600 as sdpa"


def test_one_bit_is_one_row(scene: Scene) -> None:
    """Of all logits of a row, the sign of a zero included."""
    as_candidate(scene, "sdpa", 3)
    before = claimed(scene.evidence(), ROWS)[0]

    def flipped(rows: Rows) -> Rows:
        rows.view(np.uint32)[11, 3] ^= 1
        return rows

    scene.edit_logits("candidate", 1, flipped)
    after = claimed(scene.evidence(), ROWS)[0]
    assert (before.observed, after.observed) == (600, 599)
    zeros = np.zeros((2, 5), dtype=np.float32)
    zeros[1, 2] = -0.0
    assert len(set(row_hashes(zeros).tolist())) == 2


def test_no_claim_of_rows_without_their_hashes(scene: Scene) -> None:
    """Floor runs of before, a quantised candidate, and a run by its baseline only have none."""
    evidence = scene.evidence()
    quantised = ModelConfig.model_validate({"model": "a/b", "scheme": "w8a8", "reference": {"model": "a/original"}})
    assert claimed(dataclasses.replace(evidence, config=quantised), ROWS) == []
    assert claimed(held(scene, baseline_of(evidence), baseline_only=True), ROWS) == []

    for path in (scene.folder / FLOOR).glob("*.npz"):
        about, arrays = read_stored(path)
        del arrays[HASHES]
        with path.open("wb") as file:
            write_stored(file, about, arrays)
    older = dataclasses.replace(evidence, noise=load_floor(scene.folder))
    assert claimed(older, ROWS) == []
    assert {one.verdict for one in CHECKS["error_over_floor"].judge(older)} == {"pass"}


def test_hashes_are_kept_with_a_comparison(scene: Scene, tmp_path: Path) -> None:
    """Where a run keeps what it measured in place of rows."""
    comparison = scene.evidence().comparison
    save_comparison(tmp_path / "kept" / "reference.npz", comparison)
    found = load_comparison(tmp_path / "kept" / "reference.npz")
    assert comparison.hashes is not None
    assert found.hashes is not None
    assert np.array_equal(found.hashes, comparison.hashes)


def test_answers_identical_to_the_references_own(scene: Scene) -> None:
    """All of a clean run; its interval is of answers, not of positions."""
    (found,) = claimed(scene.evidence(), ANSWERS)
    assert (found.verdict, found.observed, found.n, found.limit) == ("shown", 3, 3, None)
    assert found.message == "3 of 3 shows at least 36.84 % of answers identical to the reference's"


@pytest.mark.parametrize(
    ("leads", "identical", "told"),
    [
        ({20: 1e-3}, 3, ", 1 of them up to a tie"),
        ({20: 5.0}, 2, ""),
        # What follows a tie is of another prefix than the reference's own answer.
        ({20: 1e-3, 90: 5.0}, 3, ", 1 of them up to a tie"),
        ({20: 5.0, 90: 1e-3}, 2, ""),
    ],
)
def test_an_answer_that_leaves_the_reference_counts_up_to_a_tie(
    scene: Scene, leads: dict[int, float], identical: int, told: str
) -> None:
    """One answer, in which the reference prefers other tokens by so much at some places."""

    def preferred(rows: Rows) -> Rows:
        for place, lead in leads.items():
            best = rows[place].argmax()
            rows[place, 1 + best % 19] = rows[place].max() + np.float32(lead)
        return rows

    def near(rows: Rows) -> Rows:
        for place, lead in leads.items():
            best = rows[place].argmax()
            rows[place, 1 + best % 19] = rows[place].max() - np.float32(min(lead, 1e-3))
        return rows

    for side in SCORED:
        scene.edit_logits(side, 1, preferred)
    scene.edit_logits("candidate", 1, near)
    (found,) = claimed(scene.evidence(), ANSWERS)
    assert found.observed == identical
    assert (found.message or "").endswith(f"identical to the reference's{told}")


def test_given_tokens_are_no_answers(scene: Scene) -> None:
    """A forced variant takes base's."""
    assert claimed(scene.forced("chunked_prefill", enable_chunked_prefill=True), ANSWERS) == []


def test_what_n_of_n_shows() -> None:
    """Seven of seven first tokens, as published reports have them, show at least 65 %, with 95 % confidence."""
    assert at_least(7, 7, rate_interval(7, 7, 7)[0]) == "7 of 7 shows at least 65.18 %"


def test_agreement_says_what_it_shows(scene: Scene) -> None:
    """In words, with the lower end of its interval."""
    found = next(one for one in CHECKS["token_agreement"].judge(scene.evidence()) if one.metric == "token_agreement")
    assert found.interval is not None
    assert found.message is not None
    assert found.message.endswith(f"600 of 600 shows at least {100 * found.interval[0]:.4g} %")
