"""A variant against base: what fails, what is tied, and what says nothing because it had no effect."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.limits import VARIANT_SPREAD
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.results import worst
from npu_conformance.traces.cases import Flip
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import BOUNDARY, load_trace, save_cases
from tests.unit.helpers.scenes import Scene, failing, named

SPREAD = VARIANT_SPREAD.name
BITWISE = "bitwise_rows"
CHUNKED: dict[str, Any] = {"enable_chunked_prefill": True, "max_num_batched_tokens": 128, "max_num_seqs": 16}


def test_a_variant_with_base_s_rows_is_the_same(scene: Scene) -> None:
    """Bitwise, at all positions and at the block-boundary prompts."""
    checks = CHECKS["variant_closeness"].judge(scene.forced("chunked_prefill", **CHUNKED))

    assert {check.verdict for check in checks} == {"pass", "shown"}
    bitwise = {named(check): check.observed for check in checks if check.metric == BITWISE}
    assert bitwise == {BITWISE: 600, f"{BITWISE}, boundary": 200}


def one_row(rows: Rows) -> Rows:
    """Larger by a fifth."""
    rows[50] *= np.float32(1.2)
    return rows


def every_row(rows: Rows) -> Rows:
    """Larger by a tenth."""
    return np.asarray(rows * np.float32(1.1))


def other_token(rows: Rows) -> Rows:
    """Another word wins by half a logit."""
    best, second = rows[50].argsort()[::-1][:2]
    rows[50, second] = rows[50, best] + np.float32(0.5)
    return rows


@pytest.mark.parametrize(
    ("change", "metrics"),
    [
        (one_row, {"relative_l2_max", "relative_l2_max, boundary"}),
        (every_row, {"relative_l2_mean", "relative_l2_mean, boundary"}),
        (other_token, {"equal_or_tied_tokens", "equal_or_tied_tokens, boundary"}),
    ],
)
def test_what_leaves_base_fails(scene: Scene, change: Callable[[Rows], Rows], metrics: set[str]) -> None:
    """And says at which token, of the variant and of base."""
    evidence = scene.forced("chunked_prefill", change, **CHUNKED)
    checks = CHECKS["variant_closeness"].judge(evidence)

    assert metrics <= failing(checks)
    where = next(check.where or "" for check in checks if named(check) in metrics)
    assert where.startswith("set/second, position")
    assert "chunked_prefill" in where
    assert "base" in where


def slightly(rows: Rows) -> Rows:
    """One row larger by two percent, as every row may be by the dtype's limit."""
    rows[50] *= np.float32(1.02)
    return rows


def test_a_row_within_the_limits_but_beyond_base_s_own_rounding_fails(scene: Scene) -> None:
    """In units of what base itself errs by, which on this model is little."""
    evidence = scene.forced("chunked_prefill", slightly, **CHUNKED)

    assert failing(CHECKS["variant_closeness"].judge(evidence)) == {SPREAD, f"{SPREAD}, boundary"}
    (check,) = [one for one in CHECKS["variant_closeness"].judge(evidence) if named(one) == SPREAD]
    assert (check.where or "").startswith("set/second, position 50")
    assert (check.observed or 0) > 5


def last_bit(rows: Rows) -> Rows:
    """One bit of one logit."""
    bits = rows.view(np.uint32)
    bits[3, 7] ^= 1
    return rows


def test_only_a_variant_that_changes_nothing_must_be_bitwise(scene: Scene) -> None:
    """A fresh engine is; for another kernel a bit is told and passes."""
    fresh = CHECKS["variant_closeness"].judge(scene.forced("fresh_engine", last_bit))
    chunked = CHECKS["variant_closeness"].judge(scene.forced("chunked_prefill", last_bit, **CHUNKED))

    assert failing(fresh) == {BITWISE, f"{BITWISE}, boundary"}
    (mine,) = [check for check in fresh if named(check) == BITWISE]
    assert mine.where == "first at set/second, position 3"
    (told,) = [check for check in chunked if named(check) == BITWISE]
    assert (told.verdict, told.observed, told.limit) == ("shown", 599, None)


def test_a_fresh_engine_is_bitwise_base_s_at_the_probes_too(scene: Scene) -> None:
    """They are no less forced again than the answers."""
    evidence = scene.forced("fresh_engine")
    part = load_trace(evidence.candidate.folder / BOUNDARY)
    np.save(part.folder / "0000.npy", last_bit(part.logits(0).copy()))

    assert failing(CHECKS["variant_closeness"].judge(evidence)) == {f"{BITWISE}, boundary"}


@pytest.mark.parametrize(
    ("variant", "effective", "why"),
    [
        ("chunked_prefill", CHUNKED | {"enable_chunked_prefill": False}, "asked for enable_chunked_prefill True"),
        ("graph_full", {"enforce_eager": False, "cudagraph_mode": "PIECEWISE"}, "asked for cudagraph_mode 'FULL'"),
        ("graph", {"enforce_eager": False}, "graph: 0 in this run"),
        ("preemption", {}, "preemptions: 0 in this run"),
    ],
)
def test_a_variant_that_fell_back_is_not_applicable(
    scene: Scene, variant: str, effective: dict[str, Any], why: str
) -> None:
    """Whatever its numbers: a pass would be base's."""
    evidence = scene.forced(variant, every_row, **effective)
    checks = [result for check in CHECKS.values() for result in check.judge(evidence)]

    assert {check.verdict for check in checks} == {"not_applicable"}
    assert all(why in (check.message or "") for check in checks)


def generated(scene: Scene, tokens: dict[int, int]) -> Evidence:
    """A variant that only told its tokens, some of the second prompt's changed."""
    evidence = scene.forced("spec_decode")
    path = evidence.candidate.folder / "trace.json"
    content = json.loads(path.read_text())
    for position, token in tokens.items():
        content["answers"][1]["token_ids"][position] = token
    write_json(path, content | {"forced": False})
    for index in range(3):
        (path.parent / f"{index:04d}.npy").unlink()
    return dataclasses.replace(evidence, candidate=load_trace(path.parent))


def test_tokens_are_compared_where_logits_are_hidden(scene: Scene) -> None:
    """The rest is not applicable, and says why."""
    evidence = generated(scene, {})

    assert {check.verdict for check in CHECKS["variant_closeness"].judge(evidence)} == {"pass"}
    (closeness,) = CHECKS["logits_closeness"].judge(evidence)
    assert (closeness.verdict, closeness.message) == (
        "not_applicable",
        "spec_decode does not let its logits be seen",
    )


def test_another_generated_token_fails(scene: Scene) -> None:
    """With both tokens and the place."""
    token = load_trace(scene.folder / "candidate").answers[1].token_ids[40]
    (check,) = CHECKS["variant_closeness"].judge(generated(scene, {40: 1 + token % 19}))

    assert (check.verdict, check.observed, check.limit) == ("fail", 2, 3)
    assert (check.where or "").startswith("set/second, position 40: ")


def edit_cases(scene: Scene, **changes: Any) -> None:
    """Change the case of the prompt alone."""
    folder = scene.folder / "candidate"
    cases = load_trace(folder).cases()
    save_cases(folder, [case.model_copy(update=changes) if case.scenario == "alone" else case for case in cases])


FLIP = Flip(step=4, token=4, choice=5, margin=2.0, lead=0.1, rms=4.0)


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({"flips": (FLIP,)}, "equal_or_tied_tokens, batch:alone"),
        ({"flips": (FLIP.model_copy(update={"margin": 0.1, "lead": 2.0}),)}, "equal_or_tied_tokens, batch:alone"),
        ({"distance": 0.2, "different": 1, "first_different": 4, "worst": 4}, "relative_l2_max, batch:alone"),
        ({"distance": float("nan")}, "relative_l2_max, batch:alone"),
    ],
    ids=["another token", "another token, far ahead now", "far", "nan"],
)
def test_another_batch_may_not_change_a_token_or_much_of_a_row(
    scene: Scene, changes: dict[str, Any], metric: str
) -> None:
    """By the name of the scenario."""
    edit_cases(scene, **changes)

    assert failing(CHECKS["batch_determinism"].judge(scene.evidence())) == {metric}


def test_a_tie_that_another_batch_decides_otherwise_is_told(scene: Scene) -> None:
    """Before and now, the two are within the allowed error of either logit."""
    edit_cases(scene, flips=(FLIP.model_copy(update={"margin": 0.1}),))
    checks = CHECKS["batch_determinism"].judge(scene.evidence())

    assert failing(checks) == set()
    assert [check.message for check in checks if check.message] == ["1 tied"]


def test_batch_invariance_is_judged_where_it_is_promised(scene: Scene) -> None:
    """One row that is not bitwise equal: told, or a failure."""
    edit_cases(scene, distance=0.001, different=1, first_different=4)
    evidence = scene.evidence()
    promised = dataclasses.replace(evidence, config=evidence.config.model_copy(update={"batch_invariant": True}))

    assert failing(CHECKS["batch_determinism"].judge(evidence)) == set()
    assert failing(CHECKS["batch_determinism"].judge(promised)) == {"bitwise_rows, batch:alone"}


def test_no_other_batches_is_not_a_pass(scene: Scene) -> None:
    """As in variants that are made to take base's tokens."""
    (scene.folder / "candidate" / "cases.json").unlink()

    assert worst(check.verdict for check in CHECKS["batch_determinism"].judge(scene.evidence())) == "not_applicable"


def test_the_probes_are_compared_though_the_answers_are_equal(scene: Scene) -> None:
    """A fault at the edge of a block may spare every answer."""
    evidence = scene.forced("chunked_prefill", **CHUNKED)
    part = load_trace(evidence.candidate.folder / BOUNDARY)
    np.save(part.folder / "0000.npy", one_row(part.logits(0).copy()))

    assert failing(CHECKS["variant_closeness"].judge(evidence)) == {"relative_l2_max, boundary", f"{SPREAD}, boundary"}
