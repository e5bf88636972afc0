"""Pairs of which a side has the likeliest words of each position alone, held against their whole rows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.errors import TraceError
from npu_conformance.measure.compare import compare
from npu_conformance.measure.few_words import measure_words
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.baseline_runs import noisy
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.small_traces import WORDS, logits, moved
from tests.unit.helpers.topk_traces import of_rows, reduce_trace


@pytest.mark.parametrize("count", [1, 3, 8, WORDS])
@pytest.mark.parametrize("side", ["candidate", "reference", "both"])
def test_few_words_say_what_whole_rows_say(side: str, count: int) -> None:
    """Choices are the same, the divergence is a lower bound: the closer the more words, and all of it with all."""
    (theirs,) = logits(1, 40)
    mine = moved(theirs, 0.3)
    whole = measure_words("set/0", of_rows(mine, WORDS), theirs, None)
    few = measure_words(
        "set/0",
        mine if side == "reference" else of_rows(mine, count),
        theirs if side == "candidate" else of_rows(theirs, count),
        None,
    )

    np.testing.assert_array_equal(few["tokens"], mine.argmax(axis=1))
    np.testing.assert_array_equal(few["choices"], theirs.argmax(axis=1))
    assert (few["kl"] <= whole["kl"] + 1e-12).all()
    assert (few["kl"] >= 0).all()
    if count == WORDS:
        np.testing.assert_allclose(few["kl"], whole["kl"], rtol=1e-9)
        np.testing.assert_array_equal(few["top5"], whole["top5"])
    assert few["finite"].all()
    assert few["reference_finite"].all()


def test_the_lower_bound_is_the_divergence_of_whole_rows(scene: Scene, tmp_path: Path) -> None:
    """Where the words are all of the vocabulary; with fewer it is no larger."""
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.3))
    reference = load_trace(scene.folder / "reference")
    whole = compare(load_trace(scene.folder / "candidate"), reference)
    every, few = (
        compare(reduce_trace(scene.folder / "candidate", tmp_path / str(count), count), reference) for count in (20, 6)
    )

    np.testing.assert_allclose(every.values["kl"], whole.values["kl"], rtol=1e-6, atol=1e-12)
    assert (few.values["kl"] <= whole.values["kl"] * (1 + 1e-6) + 1e-12).all()
    assert few.values["kl"].mean() > 0.5 * whole.values["kl"].mean()
    assert set(few.values) == {"kl", "top5", "relative_l2"}
    for one in (every, few):
        for name in ("tokens", "choices", "finite", "reference_finite", "bounds", "prompts"):
            np.testing.assert_array_equal(getattr(one, name), getattr(whole, name))
        np.testing.assert_allclose(one.own_shortfall, whole.own_shortfall, atol=1e-6)
        # Log-probabilities differ from logits by what all words of a row have in common.
        lead, expected = (each.token_logits[:, 0] - each.token_logits[:, 1] for each in (one, whole))
        np.testing.assert_allclose(lead, expected, atol=1e-5)


def test_a_token_that_a_side_lacks_is_no_tie() -> None:
    """However wide a tie is; nor is one that was taken and is not among the engine's own words."""
    theirs = np.array([[0, 1, 2, 3.0]], dtype=np.float32)
    mine = of_rows(np.array([[9, 1, 2, 3.0]], dtype=np.float32), 1)
    found = measure_words("set/0", mine, theirs, [0])
    other = measure_words("set/0", mine, theirs, [2])

    assert np.isneginf(found["token_logits"][0, 1])
    assert found["own_shortfall"] == [0]
    assert np.isposinf(other["own_shortfall"])


def test_a_word_that_the_candidate_lacks_is_among_all_others() -> None:
    """By hand: two words kept of either side, of which one is common."""
    reference = TopKRows(np.array([[1, 2]], np.int32), np.log([[0.6, 0.3]]), np.array([0.1]), np.array([1.0]))
    candidate = TopKRows(np.array([[1, 3]], np.int32), np.log([[0.5, 0.2]]), np.array([0.3]), np.array([1.0]))
    found = measure_words("set/0", candidate, reference, None)

    np.testing.assert_allclose(found["kl"], 0.6 * np.log(0.6 / 0.5) + 0.4 * np.log(0.4 / 0.5))
    assert found["top5"] == [0.5]


def test_a_tail_that_rounding_left_nothing_of_is_not_infinitely_wrong() -> None:
    """An engine's log-probabilities have float32's digits, and so has what they leave."""
    words = np.array([[1]], np.int32)
    reference = TopKRows(words, np.log([[1 - 1e-9]]), np.array([1e-9]), np.array([1.0]))
    candidate = TopKRows(words, np.zeros((1, 1)), np.zeros(1), np.array([1.0]))

    assert measure_words("set/0", candidate, reference, None)["kl"] < 1e-6


def test_rows_that_are_not_finite_have_no_numbers() -> None:
    """On either side."""
    (rows,) = logits(1, 3)
    few = of_rows(rows, 8)
    few.log_probs[1, 2] = np.nan
    for mine, theirs, lost in ((few, rows, "finite"), (rows, few, "reference_finite")):
        found = measure_words("set/0", mine, theirs, None)
        assert found[lost].tolist() == [True, False, True]
        for name in ("kl", "top5"):
            assert np.isnan(found[name]).tolist() == [False, True, False]


def test_another_vocabulary_is_refused(scene: Scene, tmp_path: Path) -> None:
    """A token that the other side does not have."""

    def beyond(rows: TopKRows) -> TopKRows:
        words = rows.words.copy()
        words[7, 3] = 20
        return dataclasses.replace(rows, words=words)

    few = reduce_trace(scene.folder / "candidate", tmp_path / "few", change=beyond)
    with pytest.raises(TraceError, match=r"set/second: token #20 on one side, a vocabulary of 20 words on the other"):
        compare(few, load_trace(scene.folder / "reference"))


def test_a_chosen_token_of_another_vocabulary_is_refused() -> None:
    """Also where it is not among the likeliest."""
    (rows,) = logits(1, 3)
    with pytest.raises(TraceError, match=f"set/0: token #{WORDS} on one side, a vocabulary of {WORDS} words"):
        measure_words("set/0", of_rows(rows, 8), rows, (0, WORDS, 1))


def test_a_second_run_that_few_words_cannot_show_is_none(scene: Scene, tmp_path: Path) -> None:
    """An engine that gives digests beside few words passes no check by them."""
    few = reduce_trace(scene.folder / "candidate", tmp_path / "few")
    again = [dataclasses.replace(one, repeat_digests=("same",) * len(one.token_ids)) for one in few.answers]
    found = compare(dataclasses.replace(few, answers=tuple(again)), load_trace(scene.folder / "reference"))

    assert found.unrepeated == tuple(len(one.token_ids) for one in few.answers)


def test_traces_of_other_tokens_are_refused(scene: Scene, tmp_path: Path) -> None:
    """As those of whole rows are."""
    few = reduce_trace(scene.folder / "candidate", tmp_path / "few")
    scene.edit_answer("reference", 1, token_ids=[5] * 200)

    with pytest.raises(TraceError, match="prompt set/second: the reference scored other tokens"):
        compare(few, load_trace(scene.folder / "reference"))
