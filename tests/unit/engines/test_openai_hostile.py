"""Servers that are not friendly: one clear line of each, and a key that is written nowhere."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.openai import engine, transport
from npu_conformance.engines.openai.engine import run
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.errors import JobError
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.fake_openai import (
    KEY,
    TOKENS,
    Change,
    Sent,
    faking,
    hurry,
    job_for,
    silent,
    traced,
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


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


def untold(answer: dict[str, Any]) -> None:
    """A text, and none of its tokens."""
    answer["choices"][0] |= {"logprobs": {}, "token_ids": None}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of_completions(untold), "answered 'text' without log-probabilities of its tokens"),
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


def test_a_server_without_a_chat_names_the_prompt_that_needs_one(tmp_path: Path) -> None:
    """A text is asked of it first."""

    def change(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        return Sent(404, "no such route") if "chat" in path else answer

    told = r"^set/second: .*status 404: no such route \(asking what it makes of messages\)"
    with faking(change) as server, pytest.raises(ServerError, match=told):
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
        assert transport.ask_together(f"{server.url}/v1/models", "none", [None])
    assert waits == [3.0, 30.0, 0.004]


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


def test_the_key_is_nowhere_in_a_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in the worker's job, its log and its refusal, when the server sends it back and then fails."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    seen: list[str] = []

    def change(path: str, _asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        seen.append(path)
        headers = {"set-cookie": KEY, "retry-after": KEY, "x-key": KEY}
        return Sent(200, answer, headers) if len(seen) < 6 else Sent(418, f"{KEY} is no key of mine", headers)

    jobs = Jobs(tmp_path / "run", Narrator(), "cpu")
    with faking(change) as server, pytest.raises(JobError, match=r"status 418: \(key\) is no key of mine") as raised:
        jobs.run(job_for(server.url, tmp_path), "served", 60, environment={})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert server.keys == {f"Bearer {KEY}"}
    assert {"job.json", "log.txt", "refusal.txt"} <= {path.name for path in files}
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY not in str(raised.value)
