"""What both sides prefer at each position, as details keep it."""

import numpy as np
import pytest

from npu_conformance.measure.kernel import TOP as WORDS
from npu_conformance.report.token_rows import TokenRows, floor_errors, token_rows
from npu_conformance.traces.rows import Rows
from tests.unit.helpers.report_runs import Runs, exchanged
from tests.unit.helpers.scenes import Scene


def kept(scene: Scene) -> TokenRows:
    """Of base."""
    evidence = scene.evidence()
    found = token_rows(evidence, evidence.comparison)
    assert found is not None
    return found


def test_both_sides_have_their_own_largest_logits(scene: Scene) -> None:
    """In order, with the logits of the rows that were saved."""
    rows, evidence = kept(scene), scene.evidence()
    mine = np.concatenate([evidence.candidate.logits(index) for index in range(3)])
    place = 205
    words = rows.candidate_words[place * WORDS : (place + 1) * WORDS]

    assert words == np.argsort(-mine[place], kind="stable")[:WORDS].tolist()
    assert rows.candidate_logits[place * WORDS] == pytest.approx(float(mine[place].max()), abs=1e-4)
    assert set(rows.marks) == {"="}
    assert len(rows.marks) == len(rows.kl) == 600


def test_a_token_that_rounding_does_not_explain_is_marked(runs: Runs) -> None:
    """The candidate prefers another word by far at the first position of each prompt."""
    evidence = runs.variant("graph", change=exchanged)
    rows = token_rows(evidence, evidence.comparison)
    assert rows is not None

    assert [place for place, mark in enumerate(rows.marks) if mark == "x"] == [0, 200, 400]
    assert rows.reference_words[0] != rows.tokens[0] == rows.candidate_words[0]


def test_rows_that_are_not_finite_have_no_word_that_hides_it(scene: Scene) -> None:
    """A NaN is a token's logit as any other, and survives the JSON."""

    def broken(rows: Rows) -> Rows:
        rows[2] = np.nan
        return rows

    scene.edit_logits("candidate", 0, broken)
    rows = kept(scene)

    assert np.isnan(rows.candidate_logits[2 * WORDS : 3 * WORDS]).all()
    again = TokenRows.model_validate_json(rows.model_dump_json())
    assert np.isnan(again.candidate_logits[2 * WORDS])


def test_of_other_variants_only_those_are_kept_that_are_looked_at(runs: Runs) -> None:
    """A variant that is as good as base has none; one with a row that is wrong has."""

    def wrong(rows: Rows) -> Rows:
        rows[7] *= np.float32(1.5)
        return rows

    well, off = runs.variant("graph"), runs.variant("prefix_caching", change=wrong)

    assert token_rows(well, well.comparison) is None
    assert token_rows(off, off.comparison) is not None


def test_the_floors_errors_stand_at_the_same_positions(scene: Scene) -> None:
    """One a judged position, of the size of rounding."""
    errors = floor_errors(scene.evidence())

    assert len(errors) == 600
    assert 0 < max(errors) < 0.05


def test_lists_of_other_lengths_are_refused(scene: Scene) -> None:
    """A hand-edited report names what is missing."""
    content = kept(scene).model_dump()
    content["candidate_logits"].pop()

    with pytest.raises(ValueError, match="not as many"):
        TokenRows.model_validate(content)
