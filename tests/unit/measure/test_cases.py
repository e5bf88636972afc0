"""Logits of the same tokens in two batches, held against each other position by position."""

import numpy as np
import pytest

from npu_conformance.measure.cases import by_scenario, farthest, hold_against, hold_words_against, tied
from npu_conformance.traces.cases import Case, Flip, Scenario
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import Answer
from tests.unit.helpers.small_traces import WORDS, logits, moved

SCENARIO: Scenario = "reordered"


@pytest.fixture
def before() -> Rows:
    """Rows of five positions."""
    return logits(1, 5)[0]


def case(before: Rows, again: Rows) -> Case:
    """The two held against each other."""
    return hold_against(before, again, SCENARIO, "set/one", (3, 3, 2, 2, 2), 4)


def test_equal_rows(before: Rows) -> None:
    """Nothing is different, nothing flips; what it is a case of is kept."""
    assert case(before, before.copy()) == Case(
        scenario=SCENARIO,
        prompt="set/one",
        copy_number=4,
        batch_rows=(3, 3, 2, 2, 2),
        positions=5,
        different=0,
        first_different=None,
        worst=0,
        distance=0.0,
        flips=(),
    )


@pytest.mark.parametrize("step", [0, 3])
def test_one_bit(before: Rows, step: int) -> None:
    """Is a difference, though hardly a distance, and no flip."""
    again = before.copy()
    again.view(np.uint32)[step, 7] ^= 1
    found = case(before, again)

    assert (found.different, found.first_different, found.worst, found.flips) == (1, step, step, ())
    assert 0 < found.distance < 1e-6


def test_the_sign_of_zero_is_a_bit(before: Rows) -> None:
    """Bitwise equal is not numerically equal."""
    before[2, 4] = 0.0
    again = before.copy()
    again[2, 4] = -0.0
    found = case(before, again)

    assert (found.different, found.first_different, found.distance) == (1, 2, 0.0)


def test_the_worst_position_is_not_the_first(before: Rows) -> None:
    """Its distance is relative to the row as it was before."""
    again = before.copy()
    again[1] = moved(before[1:2], 0.01)[0]
    again[3] = before[3] * np.float32(1.5)
    found = case(before, again)

    assert (found.different, found.first_different, found.worst) == (2, 1, 3)
    assert found.distance == pytest.approx(0.5, rel=1e-6)


def test_flips(before: Rows) -> None:
    """Each with what the first was ahead by before, what the other is ahead by now, and the row's size before."""
    again = before.copy()
    expected: list[tuple[float, ...]] = []
    for step in (1, 4):
        token = int(before[step].argmax())
        choice = (token + 5) % WORDS
        again[step, token] -= np.float32(0.5)
        again[step, choice] = before[step, token] + 1
        row = [float(value) for value in before[step]]
        rms = (sum(value * value for value in row) / WORDS) ** 0.5
        expected.append((step, token, choice, row[token] - row[choice], 1.5, rms))
    found = case(before, again)

    assert len(found.flips) == 2
    for flip, values in zip(found.flips, expected, strict=True):
        told = (flip.step, flip.token, flip.choice, flip.margin, flip.lead, flip.rms)
        assert told == pytest.approx(values, rel=1e-6)
    assert found.different == 2


def test_of_equal_logits_the_first_wins(before: Rows) -> None:
    """As greedy sampling has it: no flip without a reason."""
    before[2, [3, 8]] = 20.0
    again = before.copy()
    assert case(before, again).flips == ()

    again[2, 3] = np.nextafter(np.float32(20.0), np.float32(0))
    (flip,) = case(before, again).flips
    assert (flip.token, flip.choice, flip.margin) == (3, 8, 0.0)


@pytest.mark.parametrize("side", ["before", "again"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_the_worst(before: Rows, side: str, value: float) -> None:
    """However far off another position is; its distance is no number that could pass."""
    sides = {"before": before, "again": before.copy()}
    sides["again"][1] *= np.float32(-3)
    sides[side][3, 6] = value
    found = case(sides["before"], sides["again"])

    assert (found.different, found.first_different, found.worst) == (2, 1, 3)
    assert not np.isfinite(found.distance)


def test_a_choice_that_nan_leaves_open_is_no_tie(before: Rows) -> None:
    """The margin is not that of the last word, which may have been the token itself."""
    before[2, WORDS - 1] = 30.0
    again = before.copy()
    again[2, 5] = np.nan
    (flip,) = case(before, again).flips

    assert flip.choice == -1
    assert not np.isfinite(flip.margin)


@pytest.mark.parametrize(
    ("margin", "lead", "close"),
    [(0.1, 0.1, True), (0.1, 2.0, False), (2.0, 0.1, False), (0.1, float("nan"), False)],
)
def test_a_flip_is_tied_where_both_runs_are_near(margin: float, lead: float, close: bool) -> None:
    """Else a batch that is sure of another token would be a tie wherever the first run was unsure."""
    flip = Flip(step=0, token=1, choice=2, margin=margin, lead=lead, rms=4.0)

    assert tied(flip, 0.04, 400.0) is close
    assert not tied(flip, float("nan"), 4.0)
    assert tied(flip.model_copy(update={"rms": float("nan")}), 0.04, 4.0) is close


def test_the_farthest_case_is_one_that_is_not_finite(before: Rows) -> None:
    """However far off another is; cases keep their scenarios."""
    again = before.copy()
    again[1] *= np.float32(-3)
    broken = before.copy()
    broken[0, 0] = np.nan
    far, lost = case(before, again), case(before, broken)

    assert farthest([far, lost]) is lost
    assert by_scenario([far, lost]) == {far.scenario: [far, lost]}


def words_of(*tops: dict[int, float]) -> TopKRows:
    """Likeliest words by position."""
    ranked = [sorted(top.items(), key=lambda word: -word[1]) for top in tops]
    words = np.array([[word for word, _ in one] for one in ranked], dtype=np.int32)
    log_probs = np.array([[value for _, value in one] for one in ranked])
    return TopKRows(words, log_probs, 1 - np.exp(log_probs).sum(axis=1), np.full(len(tops), np.nan))


def test_few_words_are_compared_up_to_the_first_other_token() -> None:
    """With by how much the tokens lead, and how far the log-probabilities are apart before."""
    first = words_of({1: -0.1, 2: -3.0}, {3: -0.5, 4: -0.9}, {5: -0.1, 6: -3.0})
    again = words_of({1: -0.1, 2: -3.4}, {4: -0.6, 3: -0.8}, {9: -0.1, 8: -3.0})
    answer = Answer("set/a", (1,), (1, 3, 5), "")
    case = hold_words_against(answer, first, again, "among", 2)

    assert (case.positions, case.different, case.first_different, case.few_words) == (2, 2, 0, True)
    assert case.worst == 1
    assert case.distance == pytest.approx(0.3)
    (flip,) = case.flips
    assert (flip.step, flip.token, flip.choice) == (1, 3, 4)
    assert [flip.margin, flip.lead] == pytest.approx([0.4, 0.2])
    assert np.isnan(flip.rms)
    same = hold_words_against(answer, first, first, "repeated")
    assert (same.positions, same.different, same.distance, same.flips) == (3, 0, 0.0, ())


def test_an_answer_that_ends_early_is_no_tie() -> None:
    """Though all its tokens are the same."""
    first = words_of({1: -0.1, 2: -3.0}, {3: -0.5, 4: -0.9})
    (flip,) = hold_words_against(Answer("set/a", (1,), (1, 3), ""), first, first[:1], "copies").flips

    assert not tied(flip, 100.0, 100.0)
