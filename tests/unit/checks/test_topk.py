"""A candidate that gives only the likeliest tokens of each position: what is judged of it, and what is not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.checks import CALIBRATED, CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.results import worst
from npu_conformance.report.details import load_details, save_details
from npu_conformance.traces.cases import Case, Flip
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import save_cases
from tests.unit.helpers.baseline_runs import baseline_of, noisy
from tests.unit.helpers.report_runs import FACTS
from tests.unit.helpers.scenes import SCORED, Scene
from tests.unit.helpers.topk_traces import reduce_trace

JUDGED = ("token_agreement", "finite_logits", "expected_substrings", "output_format", "labels", "shared_inputs")
"""Judged of few words, or of none."""
WHOLE = ("prefill_closeness", "decode_against_prefill", "adapter_effect", "regression")
"""Of which few words say nothing."""
GATES = tuple(gate.id for gate in CALIBRATED if "full_logits" not in gate.requires)
"""Held against a floor over the same words."""


def few(scene: Scene, tmp_path: Path, change: Callable[[TopKRows], TopKRows] = lambda rows: rows) -> Evidence:
    """The run, had its candidate given only likeliest tokens."""
    candidate = reduce_trace(scene.folder / "candidate", tmp_path / "few", change=change)
    return dataclasses.replace(scene.evidence(), candidate=candidate)


def verdicts(evidence: Evidence, *names: str) -> dict[str, str]:
    """The worst of each check."""
    return {name: worst(one.verdict for one in CHECKS[name].judge(evidence)) for name in names}


def other_token(rows: TopKRows) -> TopKRows:
    """Another token is ahead at one position, by more than rounding explains."""
    words = rows.words.copy()
    words[7, :2] = words[7, 1::-1]
    return dataclasses.replace(rows, words=words)


def no_number(rows: TopKRows) -> TopKRows:
    """A log-probability is NaN."""
    log_probs = rows.log_probs.copy()
    log_probs[7, 3] = np.nan
    return dataclasses.replace(rows, log_probs=log_probs)


def unsure(rows: TopKRows) -> TopKRows:
    """The right token everywhere, and hardly more likely than the next."""
    log_probs = np.linspace(-2.0, -2.5, rows.words.shape[1])[None].repeat(len(rows), axis=0)
    return dataclasses.replace(rows, log_probs=log_probs, tail=1 - np.exp(log_probs).sum(axis=1))


def test_a_clean_run_is_judged_as_far_as_few_words_go(scene: Scene, tmp_path: Path) -> None:
    """As the whole rows are; the divergence, of which they know the least, is shown."""
    evidence = few(scene, tmp_path)

    found = verdicts(evidence, *CHECKS)
    whole = verdicts(scene.evidence(), *JUDGED)
    assert {name: found[name] for name in JUDGED} == whole
    assert set(whole.values()) == {"pass", "inconclusive"}  # 600 positions leave the rate of agreement open
    # The floor of so few words scatters widely: its worst of many is shown.
    assert {found[name] for name in GATES} <= {"pass", "inconclusive", "not_applicable", "shown"}
    assert [found[name] for name in GATES].count("pass") >= 5
    assert {name: found[name] for name in WHOLE} == dict.fromkeys(WHOLE, "not_applicable")
    assert "error" not in found.values()
    assert "fail" not in found.values()
    closeness = CHECKS["logits_closeness"].judge(evidence)
    assert [(one.metric, one.verdict, one.limit) for one in closeness] == [
        (name, "shown", None) for name in ("kl_mean", "kl_p99", "kl_max")
    ]
    assert all("a lower bound" in (one.message or "") for one in closeness)


def test_what_needs_whole_rows_says_so_in_one_way(scene: Scene, tmp_path: Path) -> None:
    """Whichever check it is."""
    evidence = dataclasses.replace(few(scene, tmp_path), baseline=baseline_of(scene.evidence()))
    messages = {one.message for name in WHOLE for one in CHECKS[name].judge(evidence)}

    assert messages == {"the engine gives only the k likeliest tokens of each position, no whole rows of logits"}


@pytest.mark.parametrize(
    ("fault", "check", "told"),
    [
        (other_token, "token_agreement", "set/second, position 7"),
        (no_number, "finite_logits", "set/second, position 7: 1 NaN and 0 infinite of 8 logits of the candidate"),
        (unsure, "logits_closeness", "set/second"),
    ],
)
def test_a_fault_among_few_words_fails(
    scene: Scene, tmp_path: Path, fault: Callable[[TopKRows], TopKRows], check: str, told: str
) -> None:
    """The check that sees it in whole rows, with its place."""
    results = CHECKS[check].judge(few(scene, tmp_path, fault))
    failing = [one for one in results if one.verdict == "fail"]

    assert failing
    assert all(told in (one.where or "") for one in failing)


def test_a_tie_among_few_words_is_one(scene: Scene, tmp_path: Path) -> None:
    """The noise floor tells it as it does of whole rows; a gate judges the flips of both."""
    for side in SCORED:
        scene.edit_logits(side, 1, leading(1e-4))
    scene.edit_logits("candidate", 1, leading(-1e-4))
    tokens = scene.evidence().candidate.logits(1).argmax(axis=1).tolist()
    for side in ("candidate", *SCORED):
        scene.edit_answer(side, 1, token_ids=tokens)
    for evidence in (scene.evidence(), few(scene, tmp_path)):
        (tied,) = [one for one in CHECKS["token_agreement"].judge(evidence) if one.metric == "equal_or_tied_tokens"]
        assert (tied.verdict, tied.message) == ("shown", "1 tied")


def leading(by: float) -> Callable[[Rows], Rows]:
    """The clean choice of a position leads the next by this."""

    def change(rows: Rows) -> Rows:
        best, second = np.argsort(-rows[5])[:2]
        rows[5, second] = rows[5, best] - np.float32(by)
        return rows

    return change


def test_the_report_has_what_few_words_tell(scene: Scene, tmp_path: Path) -> None:
    """Its tokens, and no errors of whole rows."""
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.01))
    save_details(tmp_path, "Model", FACTS | {"variants": ["base"]}, few(scene, tmp_path))
    _, (details,) = load_details(tmp_path, "Model")

    assert details.positions == 600
    assert details.agreement is not None
    assert (details.prompts, details.relative_l2, details.three_way) == ([], [], None)


def other_words(rows: TopKRows) -> TopKRows:
    """The right token everywhere, and its runners-up off by far more than rounding explains."""
    log_probs = rows.log_probs.copy()
    log_probs[:, 1:] -= 1.0
    return dataclasses.replace(rows, log_probs=log_probs, tail=1 - np.exp(log_probs).sum(axis=1))


def test_runners_up_that_are_off_fail_a_gate(scene: Scene, tmp_path: Path) -> None:
    """Though every token is the reference's."""
    candidate = reduce_trace(scene.folder / "candidate", tmp_path / "few", change=other_words, everywhere=True)
    found = verdicts(dataclasses.replace(scene.evidence(), candidate=candidate), "token_agreement", *GATES)

    assert found["token_agreement"] != "fail"
    assert found["error_over_floor"] == found["peak_over_floor"] == "fail"


@pytest.mark.parametrize(("lead", "verdict"), [(1e-4, "pass"), (0.5, "fail")])
def test_another_token_in_a_batch_is_judged_by_its_lead(
    scene: Scene, tmp_path: Path, lead: float, verdict: str
) -> None:
    """By the size of the reference's logits, for nobody saw all of the server's."""
    evidence = few(scene, tmp_path)
    flip = Flip(step=3, token=1, choice=2, margin=lead, lead=lead, rms=float("nan"))
    case = Case(
        scenario="among",
        prompt="set/second",
        batch_rows=(),
        positions=4,
        different=1,
        first_different=3,
        worst=3,
        distance=1e-4,
        few_words=True,
        flips=(flip,),
    )
    save_cases(evidence.candidate.folder, [case])
    found = {one.metric: one for one in CHECKS["batch_determinism"].judge(evidence)}

    assert found["equal_or_tied_tokens"].verdict == verdict
    size = evidence.comparison.rms_at("set/second", 3)
    assert found["relative_l2_max"].observed == pytest.approx(1e-4 / size)


def test_an_answer_of_which_not_all_tokens_are_told_is_not_judged_by_its_end(scene: Scene, tmp_path: Path) -> None:
    """It is shorter than what was asked for, and ends without a stop token."""
    evidence = few(scene, tmp_path)
    first, *rest = evidence.candidate.answers
    before = CHECKS["answer_ends"].judge(evidence)[0]
    found = {}
    for untold in (True, False):
        short = dataclasses.replace(first, token_ids=first.token_ids[:5], untold=untold, finish_reason=None)
        candidate = dataclasses.replace(evidence.candidate, answers=(short, *rest))
        (found[untold],) = CHECKS["answer_ends"].judge(dataclasses.replace(evidence, candidate=candidate))

    assert found[True].n == (before.n or 0) - 1
    assert "of 1 answers the engine does not tell all tokens" in (found[True].message or "")
    assert found[False].verdict == "fail"
    assert "set/first: ends after 5 of" in (found[False].where or "")
