"""A made-up OpenAI-compatible server of a made-up model, which can be told to misbehave."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import TypeAdapter

from npu_conformance.config.prompts import Prompt
from npu_conformance.engines.openai import engine, scenarios, transport
from npu_conformance.engines.openai.engine import run
from npu_conformance.engines.rendering import Rendered
from npu_conformance.traces.trace import Trace, load_trace
from npu_conformance.workers.job import CandidateJob

VOCABULARY = 50
PROMPTS = {"set/first": (3, 1, 4), "set/second": (1, 5, 9, 2)}
TOKENS = 6
KEY = "sk-planted-0123456789"


class Sent(NamedTuple):
    """What is sent in place of an answer."""

    status: int
    body: dict[str, Any] | str
    headers: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)


Change = Callable[[str, dict[str, Any], dict[str, Any]], "dict[str, Any] | Sent | None"]
"""From path, question and the right answer to what is sent; None hangs up."""


@dataclass
class FakeServer:
    """What was asked, and how the next answers differ from the made-up model's."""

    change: Change
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    url: str = ""


def next_token(tokens: list[int]) -> int:
    """What the model says."""
    return (7 * tokens[-1] + len(tokens)) % VOCABULARY


def log_probs(tokens: list[int], count: int) -> dict[int, float]:
    """Of its likeliest words."""
    chosen = next_token(tokens)
    return {(chosen + place) % VOCABULARY: math.log(0.6) - place for place in range(count)}


def complete(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer in vLLM's form."""
    ids = asked["prompt"] if isinstance(asked["prompt"], list) else list(PROMPTS["set/first"])
    tokens, tops = list(ids), []
    for _ in range(asked["max_tokens"]):
        top = log_probs(tokens, asked.get("logprobs") or 1)
        tokens.append(next_token(tokens))
        tops.append({f"token_id:{word}": value for word, value in top.items()})
    said = tokens[len(ids) :]
    logprobs = {"tokens": [f"token_id:{one}" for one in said], "top_logprobs": tops}
    choice: dict[str, Any] = {"text": "text", "finish_reason": "length", "logprobs": logprobs, "token_ids": said}
    choice["prompt_token_ids"] = ids
    if count := asked.get("prompt_logprobs"):
        there = [log_probs(list(ids[:end]), count) for end in range(1, len(ids))]
        given = [{str(word): {"logprob": value} for word, value in one.items()} for one in there]
        choice["prompt_logprobs"] = [None, *given]
    return {"model": asked["model"], "choices": [choice], "usage": {"prompt_tokens": len(ids)}}


def right(path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What a server that does all would send."""
    if path.endswith("/models"):
        return {"data": [{"id": "served", "owned_by": "vllm"}]}
    if path.endswith("/chat/completions"):
        ids = list(PROMPTS["set/second"])
        return {"choices": [], "prompt_token_ids": ids, "usage": {"prompt_tokens": len(ids)}}
    return complete(asked)


@contextmanager
def faking(
    change: Change = lambda _p, _q, answer: answer,
) -> Iterator[FakeServer]:
    """A server that runs within it."""
    told = FakeServer(change)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name http.server calls
            self._send({})

        def do_POST(self) -> None:
            self._send(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _send(self, asked: dict[str, Any]) -> None:
            told.asked.append((self.path, asked))
            told.keys.add(self.headers.get("authorization"))
            found = told.change(self.path, asked, right(self.path, asked))
            if found is None:
                self.close_connection = True
                return
            sent = found if isinstance(found, Sent) else Sent(200, found)
            body = (sent.body if isinstance(sent.body, str) else json.dumps(sent.body)).encode()
            self.send_response(sent.status)
            for name, value in sent.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def job_for(url: str, folder: Path, **more: Any) -> CandidateJob:
    """A job for a server, its prompts rendered."""
    folder.mkdir(exist_ok=True)
    prompts = (Prompt(id="set/first", text="one", chat=False), Prompt(id="set/second", text="two", chat=True))
    rendered = Rendered(prompts, tuple(PROMPTS.values()), (False, True), eos_token_ids=(49,))
    (folder / "rendered.json").write_bytes(TypeAdapter(Rendered).dump_json(rendered))
    return CandidateJob(
        output=folder / "candidate",
        engine="openai",
        checkpoint=folder,
        rendered=folder / "rendered.json",
        options={"dtype": "bfloat16"},
        max_tokens=TOKENS,
        server=url,
        **more,
    )


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait hardly before asking again, and ask less often."""
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
