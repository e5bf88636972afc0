"""A made-up server of letters, with all that vLLM's has of the API: a token is a letter."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from npu_conformance.config.prompts import Prompt
from npu_conformance.engines.rendering import Rendered
from npu_conformance.workers.job import ServingJob

MODEL, LORA, END, LONGEST = "a/model", "a/lora", 0, 200
TEXTS = {"set/first": "one", "set/second": "two"}
Change = Callable[[str, dict[str, Any], Any], Any]
"""From path, question and the right answer (of a stream: its parts) to what is sent."""


def ids_of(text: str, *, chat: bool = False) -> list[int]:
    """What the tokenizer makes of a text, and the template of messages."""
    return [1, *map(ord, text), 2] if chat else list(map(ord, text))


def reply(ids: list[int], model: str) -> list[int]:
    """What the model says."""
    return [*map(ord, f"the {model} says {sum(ids)} and no more"), END]


class Tokenizer:
    """The checkpoint's own."""

    chat_template = "there is one"

    def __call__(self, text: str, **_: bool) -> dict[str, list[int]]:
        """The ids of a text."""
        return {"input_ids": ids_of(text)}

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        """The text of messages."""
        return f"\x01{messages[-1]['content']}\x02"


def answered(path: str, asked: dict[str, Any]) -> tuple[int, Any]:
    """A status and the whole answer."""
    chat = path.endswith("chat/completions")
    if asked["model"] not in (MODEL, LORA):
        return 404, {"error": {"message": "no such model"}}
    if not isinstance(asked["max_tokens"], int) or asked["max_tokens"] < 1:
        return 400, {"error": {"message": "max_tokens"}}
    if chat and not isinstance(asked["messages"][-1].get("content"), str):
        return 400, {"error": {"message": "messages"}}
    prompt = asked["messages"][-1]["content"] if chat else asked["prompt"]
    ids = ids_of(prompt, chat=chat) if isinstance(prompt, str) else prompt
    if len(ids) + asked["max_tokens"] > LONGEST:
        return 400, {"error": {"message": "too long"}}
    said = reply(ids, asked["model"])
    if asked.get("ignore_eos"):
        said = said * 1000
    said = said[: asked["max_tokens"]]
    text, why = "".join(map(chr, said)).rstrip("\0"), "stop" if said[-1] == END else "length"
    for stop in asked.get("stop", ()):
        text, why = text[: text.find(stop)], "stop"
    usage = {"prompt_tokens": len(ids), "completion_tokens": len(said), "total_tokens": len(ids) + len(said)}
    choice: dict[str, Any] = {"finish_reason": why, "token_ids": said}
    if chat:
        choice["message"] = {"content": text}
        return 200, {"model": asked["model"], "choices": [choice], "prompt_token_ids": ids, "usage": usage}
    tops = [{f"token_id:{one}": -0.1, "token_id:7": -3.0} for one in said]
    logprobs = {"tokens": [f"token_id:{one}" for one in said], "top_logprobs": tops}
    choice |= {"text": text, "prompt_token_ids": ids, "logprobs": logprobs if asked.get("logprobs") else None}
    return 200, {"model": asked["model"], "choices": [choice], "usage": usage}


def streamed(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as parts, a token each."""
    choice = whole["choices"][0]
    text = choice.get("text", choice.get("message", {}).get("content"))
    parts = []
    for place, token in enumerate(choice["token_ids"]):
        letter = text[place : place + 1]
        told: dict[str, Any] = {"delta": {"content": letter}} if "message" in choice else {"text": letter}
        told |= {"token_ids": [token], "finish_reason": None}
        parts.append({"model": whole["model"], "choices": [told]})
    parts[-1]["choices"][0]["finish_reason"] = choice["finish_reason"]
    return [*parts, {"model": whole["model"], "choices": [], "usage": whole["usage"]}]


@contextmanager
def faking(change: Change = lambda _p, _q, answer: answer, models: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """A server that runs within it; its address."""
    listed = [{"id": MODEL, "root": "/m", "max_model_len": LONGEST}, {"id": LORA, "root": "/l", "parent": MODEL}]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name http.server calls
            if self.path == "/metrics":
                told = change(self.path, {}, 'vllm:num_requests_running{engine="0"} 0.0\n')
                self._send(200 if told is not None else 404, told or "")
            else:
                self._send(200, {"data": listed if models is None else models})

        def do_POST(self) -> None:
            try:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            except ValueError:
                self._send(*change(self.path, {}, (400, {"error": {"message": "JSON"}})))
                return
            status, whole = answered(self.path, asked)
            if status == 200 and asked.get("stream"):
                self._stream(change(self.path, asked, streamed(whole)))
                return
            self._send(*change(self.path, asked, (status, whole)))

        def _stream(self, parts: list[Any]) -> None:
            self.send_response(200)
            self.end_headers()
            for part in [*map(json.dumps, parts), "[DONE]"]:
                try:
                    self.wfile.write(f"data: {part}\n\n".encode())
                    self.wfile.flush()
                except OSError:
                    return
                if len(parts) > LONGEST:
                    time.sleep(0.001)

        def _send(self, status: int | None, told: Any) -> None:
            if status is None:
                self.close_connection = True
                return
            body = (told if isinstance(told, str) else json.dumps(told)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Crowded(ThreadingHTTPServer):
        request_queue_size = 64  # 16 clients come at once

    server = Crowded(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def job_for(url: str | None, folder: Path, **more: Any) -> ServingJob:
    """A job for a server, its prompts rendered: one as a text, one in the chat, and a label of it."""
    prompts = (
        Prompt(id="set/first", text=TEXTS["set/first"], chat=False),
        Prompt(id="set/second", text=TEXTS["set/second"], chat=True, labels={"label": "Safe"}),
    )
    ids = (tuple(ids_of("one")), tuple(ids_of("two", chat=True)))
    rendered = Rendered(prompts, ids, (False, True), eos_token_ids=(END,))
    (folder / "rendered.json").write_bytes(TypeAdapter(Rendered).dump_json(rendered))
    told = {
        "output": folder / "serving" / "candidate",
        "engine": "openai",
        "checkpoint": folder,
        "adapter": folder / "lora",
        "rendered": folder / "rendered.json",
        "options": {"dtype": "bfloat16", "enforce_eager": True},
        "max_tokens": 60,
        "server": url,
        "base_name": MODEL,
        "ready": 10.0,
    }
    return ServingJob.model_validate(told | more)
