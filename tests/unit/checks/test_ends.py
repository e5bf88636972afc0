"""Answers end at their first stop token, or at the longest length asked for, and the engine says so."""

from dataclasses import replace
from pathlib import Path

import pytest

from npu_conformance.audit.scan import Scan
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.measure.results import Result
from tests.unit.helpers.small_traces import EOS, logits, pair_of

STEPS = 6


def judged(
    tmp_path: Path, tokens: tuple[int, ...], reason: str | None = None, *, room: int = 4096, forced: bool = False
) -> Result:
    """A run of one answer with these tokens, of six that were asked for."""
    exact = logits(1, STEPS)
    pair = pair_of(tmp_path, exact, exact)
    config = ModelConfig.model_validate({"model": "a/b", "serve": {"max_model_len": room}})
    (answer,) = pair.candidate.answers
    candidate = replace(
        pair.candidate, answers=(replace(answer, token_ids=tokens, finish_reason=reason),), forced=forced
    )
    prompts = (Prompt(id=answer.prompt, text="a", chat=False, max_tokens=STEPS),)
    evidence = Evidence("base", config, prompts, candidate, pair.reference, Scan(findings=(), tensors=()))
    (found,) = CHECKS["answer_ends"].judge(evidence)
    return found


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ((1, 2, 3, 4, 5, 6), None),
        ((1, 2, 3, 4, 5, 6), "length"),
        ((1, 2, EOS), "stop"),
        ((1, 2, 3, 4, 5, EOS), "stop"),
        ((EOS,), None),
    ],
)
def test_an_end_where_the_model_has_it_passes(tmp_path: Path, tokens: tuple[int, ...], reason: str | None) -> None:
    """At a stop token, or where no more was asked for."""
    assert judged(tmp_path, tokens, reason).verdict == "pass"


def test_an_answer_may_end_where_the_context_does(tmp_path: Path) -> None:
    """There is no room for more; with room for one more it is too short."""
    asked = len(pair_of(tmp_path / "a", logits(1, STEPS), logits(1, STEPS)).candidate.answers[0].prompt_ids)

    assert judged(tmp_path / "b", (1, 2, 3), room=asked + 3).verdict == "pass"
    assert judged(tmp_path / "c", (1, 2, 3), room=asked + 4).verdict == "fail"


@pytest.mark.parametrize(
    ("tokens", "reason", "told"),
    [
        ((1, 2, 3), None, "ends after 3 of 6 tokens without a stop token"),
        ((), None, "ends after 0 of 6 tokens without a stop token"),
        ((1, EOS, 3, 4, 5, 6), None, "goes on for 4 tokens after the stop token"),
        ((1, 2, 3, 4, 5, 6, 7), None, "has 7 tokens, at most 6 were asked for"),
        ((1, 2, EOS), "length", "the engine says it finished by 'length', expected 'stop'"),
        ((1, 2, 3, 4, 5, 6), "stop", "the engine says it finished by 'stop', expected 'length'"),
    ],
)
def test_any_other_end_fails(tmp_path: Path, tokens: tuple[int, ...], reason: str | None, told: str) -> None:
    """Too early, too late, or for a reason that is not so."""
    found = judged(tmp_path, tokens, reason)

    assert found.verdict == "fail"
    assert told in (found.where or "")


def test_given_tokens_end_where_they_were_given(tmp_path: Path) -> None:
    """Which says nothing of the engine."""
    assert judged(tmp_path, (1, 2, 3), forced=True).verdict == "not_applicable"
