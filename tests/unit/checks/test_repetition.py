"""An answer that is stuck where the reference is not fails, though its tokens may; one that repeats rightly passes."""

import dataclasses

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.config.model import ModelConfig
from npu_conformance.measure.results import Result
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import PREFILL
from tests.unit.helpers.scenes import SCORED, Scene

START = 40
ENGINE = ("candidate", f"candidate/{PREFILL}")
QUANTISED = ModelConfig.model_validate({"model": "a/b", "scheme": "w8a8", "reference": {"model": "a/original"}})


def stick(scene: Scene, period: int, rounds: int, leaves: set[int]) -> None:
    """Have the engine's second answer loop; the reference goes along but in some rounds' first token."""
    tokens = list(scene.evidence().candidate.answers[1].token_ids)
    places = range(START, START + period * rounds)
    tokens[places.start : places.stop] = [4 + place % period for place in range(len(places))]
    other = {START + period * number for number in leaves}

    def of_side(wanted: dict[int, int]) -> None:
        def change(rows: Rows) -> Rows:
            for place, token in wanted.items():
                rows[place, token] = rows[place].max() + 4
            return rows

        for side in ENGINE if wanted is engine else SCORED:
            scene.edit_logits(side, 1, change)

    engine = {place: tokens[place] for place in places}
    reference = {place: 3 if place in other else token for place, token in engine.items()}
    of_side(engine)
    of_side(reference)
    for side in (*ENGINE, *SCORED):
        scene.edit_answer(side, 1, token_ids=tokens)
    scene.edit_answer("candidate", 1, repeat_token_ids=tokens)


def judged(scene: Scene) -> Result:
    """Of a quantised candidate: a few tokens that are not the original's are what quantisation may cost."""
    (found,) = CHECKS["repetition"].judge(dataclasses.replace(scene.evidence(), config=QUANTISED))
    return found


@pytest.mark.parametrize(("period", "rounds"), [(6, 4), (7, 4), (16, 4)])
def test_an_engine_that_is_stuck_fails(scene: Scene, period: int, rounds: int) -> None:
    """Where the reference would leave each round; quantised, so that agreement allows so few tokens."""
    stick(scene, period, rounds, set(range(1, rounds)))
    evidence = dataclasses.replace(scene.evidence(), config=QUANTISED)
    found = judged(scene)

    assert (found.verdict, found.observed, found.limit) == ("fail", 2, 3)
    assert f"position {START}" in (found.where or "")
    assert f"{rounds} times; the reference would have left it in {rounds - 1} of the {rounds - 1}" in (
        found.where or ""
    )
    failing = {one.check for check in CHECKS.values() for one in check.judge(evidence) if one.verdict == "fail"}
    # Three or four words in 600 that are not the original's are far off, which their own rows tell.
    assert failing <= {"repetition", "logits_closeness", "prefill_closeness"}


def test_one_token_over_and_over_fails(scene: Scene) -> None:
    """The plainest way to be stuck."""
    stick(scene, 1, 24, set(range(1, 24)))
    assert judged(scene).verdict == "fail"


@pytest.mark.parametrize(
    ("period", "rounds", "leaves"), [(1, 30, set()), (5, 6, set()), (5, 6, {1}), (1, 30, {28, 29})]
)
def test_a_model_that_repeats_itself_passes(scene: Scene, period: int, rounds: int, leaves: set[int]) -> None:
    """Where the reference goes along, but for a round: that one mismatch is for other checks to judge."""
    stick(scene, period, rounds, leaves)
    found = judged(scene)

    assert found.verdict == "pass"
    assert found.message == "answers that repeat themselves as the reference would: 1"


def test_a_few_rounds_are_no_loop(scene: Scene) -> None:
    """However little the reference likes them."""
    stick(scene, 5, 3, {1, 2})
    assert judged(scene).verdict == "pass"


def test_a_tie_is_no_leaving(scene: Scene) -> None:
    """Where both hold two tokens nearly equal, an unsure model may rightly go on."""
    stick(scene, 1, 24, set())
    for side, ahead in (*((one, 4) for one in ENGINE), *((one, 5) for one in SCORED)):

        def change(rows: Rows, ahead: int = ahead) -> Rows:
            rows[START : START + 24, [4, 5]] = rows[START : START + 24].max()
            rows[START : START + 24, ahead] += np.float32(1e-3)
            return rows

        scene.edit_logits(side, 1, change)
    comparison = scene.evidence().comparison
    assert (~comparison.matches).sum() == 24
    assert judged(scene).verdict == "pass"


def test_given_tokens_say_nothing(scene: Scene) -> None:
    """They were not the engine's to repeat."""
    evidence = scene.forced("chunked_prefill", enable_chunked_prefill=True)
    assert CHECKS["repetition"].judge(evidence)[0].verdict == "not_applicable"
