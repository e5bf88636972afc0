"""A made-up server, and answers of a made-up run for it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.__main__ import main
from npu_conformance.baselines.stored import Baseline
from npu_conformance.measure.metrics import log_softmax
from npu_conformance.traces.rows import Rows
from tests.unit.helpers.scenes import Scene

Answering = Callable[[dict[str, Any]], dict[str, Any] | int | str]
HTML = "<html>maintenance</html>"
MODELS = {"object": "list", "data": [{"id": "served", "object": "model"}]}


def keep(baseline: Baseline, folder: Path, name: str = "watched") -> Path:
    """The file of a baseline."""
    path = folder / f"{name}.json"
    path.write_text(baseline.model_dump_json())
    return path


def completion(rows: Rows, count: int) -> dict[str, Any]:
    """What vLLM answers, of rows that decide alone."""
    log_probs = log_softmax(rows[:count])
    tokens = np.nan_to_num(rows[:count], nan=99).argmax(axis=1).tolist()
    tops = [
        {
            f"token_id:{word}": None if np.isnan(row[word]) else float(row[word])
            for word in np.argsort(-row)[:5].tolist()
        }
        | {f"token_id:{token}": None if np.isnan(row[token]) else float(row[token])}
        for row, token in zip(log_probs, tokens, strict=True)
    ]
    names = [f"token_id:{token}" for token in tokens]
    chosen = [top[name] for top, name in zip(tops, names, strict=True)]
    logprobs = {"tokens": names, "token_logprobs": chosen, "top_logprobs": tops, "text_offset": [0] * len(names)}
    choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}
    return {"id": "1", "object": "text_completion", "created": 0, "model": "served", "choices": [choice]}


@contextmanager
def serving(answer: Answering, models: dict[str, Any] | str = MODELS) -> Iterator[str]:
    """A server that answers completions; a number is the status of an error, text a page for people."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name http.server calls
            self._send(models)

        def do_POST(self) -> None:
            self._send(answer(json.loads(self.rfile.read(int(self.headers["content-length"])))))

        def _send(self, told: dict[str, Any] | int | str) -> None:
            page = isinstance(told, str)
            status, text = (told, "{}") if isinstance(told, int) else (200, told if page else json.dumps(told))
            body = str(text).encode()
            self.send_response(status)
            self.send_header("content-type", "text/html" if page else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def of_scene(scene: Scene, change: Callable[[Rows], Rows] = lambda rows: rows) -> Callable[[dict[str, Any]], Any]:
    """Answers of the candidate's rows, changed."""
    trace = scene.evidence().candidate
    by_ids = {answer.prompt_ids: trace.logits(index) for index, answer in enumerate(trace.answers)}
    return lambda asked: completion(change(by_ids[tuple(asked["prompt"])].copy()), asked["max_tokens"])


def nonsense(rows: Rows) -> Rows:
    """At seven of eight positions the least likely words, which the baseline lacks, are the runners-up."""
    for step in range(len(rows)):
        if step % 8:
            worst = np.argsort(rows[step])[:4]
            rows[step, worst] = rows[step].max() - 12 + np.arange(4)
    return rows


def check(url: str, path: Path, *words: str) -> int:
    """One check."""
    return main(["watch", "--server", url, "--baseline", str(path), "--once", "--tokens", "40", *words])


def heard(answer: Answering) -> tuple[Answering, list[dict[str, Any]]]:
    """The same answers, and all that was asked."""
    asked: list[dict[str, Any]] = []

    def keeping(question: dict[str, Any]) -> dict[str, Any] | int | str:
        asked.append(question)
        return answer(question)

    return keeping, asked
