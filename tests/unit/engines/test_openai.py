"""A server as candidate: what is asked of it, what its trace holds, and what is said of one that is not friendly."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.openai import engine, scenarios, transport
from npu_conformance.engines.openai.engine import run
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.traces.trace import PREFILL, Trace, load_trace
from tests.unit.helpers.fake_openai import KEY, PROMPTS, TOKENS, Sent, faking, job_for, log_probs

Change = Callable[[str, dict[str, Any], dict[str, Any]], dict[str, Any] | Sent | None]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST", 0.001)
    monkeypatch.setattr(engine, "_SECONDS", 5.0)
    monkeypatch.setattr(scenarios, "TIMES", 3)
    monkeypatch.setattr(scenarios, "OTHERS", 4)


def silent(_phase: str, _done: int, _total: int) -> None:
    """Progress for nobody."""


def traced(folder: Path, change: Change = lambda _p, _q, answer: answer, **more: Any) -> Trace:
    """The trace that a server's answers leave."""
    with faking(change) as server:
        job = job_for(server.url, folder, **more)
        run(job, silent)
    return load_trace(job.output)


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


def of_completions(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change of each completion's answer in place."""

    def changed(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/v1/completions"):
            change(answer)
        return answer

    return changed


def after(count: int, then: dict[str, Any] | Sent | None) -> Change:
    """From so many questions on."""
    seen: list[str] = []

    def changed(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent | None:
        seen.append(path)
        return answer if len(seen) <= count else then

    return changed


def cut(answer: dict[str, Any]) -> None:
    """The last token of the prompt was not read."""
    choice = answer["choices"][0]
    choice["prompt_token_ids"] = choice["prompt_token_ids"][:-1]


def only_count(answer: dict[str, Any]) -> None:
    """No ids, and fewer tokens than were sent."""
    answer["choices"][0]["prompt_token_ids"] = None
    answer["usage"]["prompt_tokens"] -= 1


def as_text(answer: dict[str, Any]) -> None:
    """Tokens by their text."""
    found = answer["choices"][0]["logprobs"]
    found["tokens"] = ["a"] * len(found["tokens"])


def too_likely(answer: dict[str, Any]) -> None:
    """Two words of which each is sure."""
    for top in answer["choices"][0]["logprobs"]["top_logprobs"]:
        top.update(dict.fromkeys(list(top)[:2], 0.0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of_completions(lambda answer: answer.update(model="another")), "was asked for served, answers as another"),
        (of_completions(cut), "other ones from index 2 on: it cuts prompts, or has another tokenizer"),
        (of_completions(only_count), "read 2 tokens of a prompt that has 3: it cuts prompts, or has another tokenizer"),
        (of_completions(as_text), "names tokens by their text ('a'), not by their ids"),
        (of_completions(too_likely), "add up to 2"),
        (of_completions(lambda answer: answer["choices"][0].update(logprobs=None)), "without log-probabilities"),
        (of_completions(lambda answer: answer.update(choices=[])), "without log-probabilities"),
        (after(8, None), "disconnected without sending"),
        (after(8, Sent(429, {"error": "busy"})), "answers with status 429"),
        (after(8, Sent(500, {"error": "died"})), "answers with status 500"),
        (after(8, Sent(200, "<html>maintenance</html>")), "not that of an OpenAI-compatible server: Invalid JSON"),
        (after(0, Sent(401, {"error": "no key"})), "answers with status 401"),
    ],
)
def test_a_hostile_server_is_one_clear_line(tmp_path: Path, change: Change, told: str) -> None:
    """And leaves no trace."""
    with faking(change) as server, pytest.raises(ServerError) as raised:
        run(job_for(server.url, tmp_path), silent)

    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "candidate").exists()


def test_a_server_that_dies_on_the_way_says_how_far_it_came(tmp_path: Path) -> None:
    """And at which prompt."""
    with faking(after(4, Sent(500, ""))) as server, pytest.raises(ServerError, match=r"^set/second: .*after 1 of 2"):
        run(job_for(server.url, tmp_path), silent)


def test_a_server_without_an_answer_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many times it is asked again."""
    monkeypatch.setattr(engine, "_SECONDS", 0.5)

    def late(_path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        time.sleep(1)
        return answer

    with faking(late) as server, pytest.raises(ServerError, match=r"gave no whole answer in 0\.5 s"):
        run(job_for(server.url, tmp_path), silent)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 3.0])
def test_what_is_no_log_probability_is_kept_as_none(tmp_path: Path, value: float | None) -> None:
    """So that `finite_logits` fails with its place; nothing takes its stead."""

    def change(answer: dict[str, Any]) -> None:
        top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
        top[list(top)[-1]] = value

    trace = traced(tmp_path, of_completions(change))

    assert trace.topk(0).finite.tolist() == [False, *[True] * (TOKENS - 1)]
    assert np.isnan(trace.topk(0).log_probs[0, -1])


def test_a_busy_server_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its Retry-After, of which no more than half a minute counts."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("asyncio.sleep", note)
    busy = iter([Sent(429, {}, {"retry-after": "3"}), Sent(503, {}, {"retry-after": "9999"}), Sent(429, {})])

    def change(_path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        return next(busy, answer)

    with faking(change) as server:
        assert transport.ask(f"{server.url}/v1/models", "none")
    assert waits == [3.0, 30.0, 0.004]


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


def test_the_key_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the server sends it back in texts, names and errors."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def echo(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/models"):
            return {"data": [{"id": "served", "owned_by": KEY}]}
        for choice in answer["choices"]:
            choice["text"] = f"your key is {KEY}"
        return answer

    with faking(echo) as server:
        run(job_for(server.url, tmp_path), silent)
    assert server.keys == {f"Bearer {KEY}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    with faking(after(0, Sent(401, f"bad key {KEY}"))) as server, pytest.raises(ServerError) as raised:
        run(job_for(server.url, tmp_path / "again"), silent)
    assert "bad key (key)" in str(raised.value)
    assert KEY not in str(raised.value)


def test_a_trace_of_a_server_is_compared_like_any(tmp_path: Path) -> None:
    """Its rows are of its own words, none of them twice."""
    trace = traced(tmp_path)

    assert dataclasses.replace(trace, folder=tmp_path / "candidate").topk(1).problem() is None
