"""A server as candidate: what is asked of it, and what its trace holds."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.openai.client import Question, Server
from npu_conformance.engines.openai.engine import run
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.traces.trace import PREFILL
from tests.unit.helpers.fake_openai import (
    PROMPTS,
    TOKENS,
    Sent,
    faking,
    hurry,
    job_for,
    log_probs,
    silent,
    traced,
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def test_a_trace_has_what_the_server_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and likeliest words, exactly; again, in batches, and as one prefill."""
    monkeypatch.undo()
    trace = traced(tmp_path)
    prefill = trace.part(PREFILL)

    assert trace.rows == "topk"
    assert prefill is not None
    for index, (name, ids) in enumerate(PROMPTS.items()):
        answer = trace.answers[index]
        tokens = list(ids)
        for step, token in enumerate(answer.token_ids):
            expected = log_probs(tokens, 20)
            for rows in (trace.topk(index), prefill.topk(index)):
                assert rows.words[step].tolist() == list(expected)
                np.testing.assert_allclose(rows.log_probs[step], list(expected.values()))
            np.testing.assert_allclose(trace.topk(index).tail[step], 1 - np.exp(list(expected.values())).sum())
            tokens.append(token)
        assert (answer.prompt, answer.prompt_ids, len(answer.token_ids)) == (name, ids, TOKENS)
        assert answer.own_prompt_ids == ids
        assert answer.repeat_token_ids == answer.token_ids
        assert answer.repeat_digests == trace.topk(index).digests
    counts = {name: sum(case.scenario == name for case in trace.cases()) for name in ("copies", "among", "repeated")}
    assert counts == {"copies": 8, "among": 2 * 17, "repeated": 50}
    assert not any(case.flips or case.different for case in trace.cases())


def test_requests_share_no_cache_and_choose_greedily(tmp_path: Path) -> None:
    """Whatever the server's own defaults are."""
    with faking() as server:
        run(job_for(server.url, tmp_path), silent)
    generating = [asked for path, asked in server.asked if path.endswith("/v1/completions") and "cache_salt" in asked]

    assert len({asked["cache_salt"] for asked in generating}) == len(generating) > 20
    for asked in generating:
        assert (asked["temperature"], asked["repetition_penalty"], asked["stream"], asked["n"]) == (0.0, 1.0, False, 1)


def test_a_server_that_takes_less_is_asked_for_less(tmp_path: Path) -> None:
    """Fewer likeliest words, and no fields that OpenAI's API lacks; what that leaves out is not there."""

    def strict(path: str, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        if path.endswith("/models"):
            return {"data": [{"id": "served", "owned_by": "somebody"}]}
        if asked.get("logprobs", 0) > 5 or "prompt_logprobs" in asked:
            return Sent(400, {"error": "at most 5"})
        return answer

    trace = traced(tmp_path, strict)

    assert trace.topk(0).words.shape == (TOKENS, 5)
    assert trace.part(PREFILL) is None
    assert all(answer.repeat_token_ids is None for answer in trace.answers)
    assert trace.provenance["effective"]["likeliest_tokens"] == 5


def test_trouble_is_no_lack_of_prompt_logprobs(tmp_path: Path) -> None:
    """Else the prefill path would go unjudged without a word."""

    def troubled(_path: str, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        return Sent(500, {"error": "out of memory"}) if "prompt_logprobs" in asked else answer

    with pytest.raises(ServerError, match="out of memory"):
        traced(tmp_path, troubled)


@pytest.mark.parametrize("prompt_log_probs", [True, False])
def test_given_tokens_are_scored(tmp_path: Path, prompt_log_probs: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """In one prefill; or a request a token, which is said before."""
    own = traced(tmp_path / "own")

    def change(_path: str, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        return Sent(400, {}) if "prompt_logprobs" in asked and not prompt_log_probs else answer

    taken = traced(tmp_path / "taken", change, tokens_of=own.folder)

    assert taken.forced
    for index, answer in enumerate(own.answers):
        assert taken.answers[index].token_ids == answer.token_ids
        np.testing.assert_array_equal(taken.topk(index).words, own.topk(index).words)
    assert (f"{2 * TOKENS} requests of one token each" in capsys.readouterr().out) is not prompt_log_probs


def test_another_answer_in_a_batch_is_seen(tmp_path: Path) -> None:
    """With its place, and by how much the tokens lead."""
    seen: dict[str, int] = {}

    def change(path: str, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        key = json.dumps(asked.get("prompt"))
        seen[key] = seen.get(key, 0) + ("cache_salt" in asked)
        if path.endswith("/v1/completions") and seen[key] > 4 and len(answer["choices"][0]["token_ids"]) == TOKENS:
            choice = answer["choices"][0]
            choice["token_ids"][2] = 48
            choice["logprobs"]["tokens"][2] = "token_id:48"
            choice["logprobs"]["top_logprobs"][2] = {"token_id:48": -0.1, "token_id:47": -3.0}
        return answer

    cases = traced(tmp_path, change).cases()
    flips = [case.flips[0] for case in cases if case.flips]

    assert flips
    assert {(flip.step, flip.choice) for flip in flips} == {(2, 48)}
    assert all(case.few_words and case.positions == 3 for case in cases if case.flips)


def test_several_models_and_an_adapter_are_not_guessed(tmp_path: Path) -> None:
    """The first would be the one without the adapter."""

    def two(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"id": "served"}, {"id": "lora"}]} if path.endswith("/models") else answer

    with faking(two) as server, pytest.raises(ServerError, match="serves served, lora, and the model config has an"):
        run(job_for(server.url, tmp_path / "one", adapter=tmp_path), silent)
    assert (
        traced(tmp_path / "two", two, adapter=tmp_path, served_model="lora").provenance["asked"]["served_model"]
        == "lora"
    )


@pytest.mark.parametrize(
    ("asked", "said", "refused"),
    [
        ("base", "base", False),
        ("alias", "base", False),
        ("base", "base-2026-01", False),
        ("base-lora", "base", True),
        ("base", "base-lora", True),
        ("base", "other", True),
    ],
)
def test_an_answer_is_of_the_model_that_was_asked_for(asked: str, said: str, refused: bool) -> None:
    """By any of its names; a LoRA's may begin with its base's."""
    roots = {"base": "/data/base", "alias": "/data/base", "base-lora": "/data/lora"}

    def change(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        models = {"data": [{"id": name, "root": root} for name, root in roots.items()]}
        return models if path.endswith("/models") else answer | {"model": said}

    with faking(change) as fake:
        server = Server(fake.url, asked, "none")
        if refused:
            with pytest.raises(ServerError, match=f"was asked for {asked}, answers as {said}: another model"):
                server.answer(Question((3, 1), 1))
        else:
            assert len(server.answer(Question((3, 1), 1)).said) == 1


def test_a_trace_of_a_server_is_compared_like_any(tmp_path: Path) -> None:
    """Its rows are of its own words, none of them twice."""
    trace = traced(tmp_path)

    assert dataclasses.replace(trace, folder=tmp_path / "candidate").topk(1).problem() is None
