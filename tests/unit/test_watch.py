"""Watching a server: what it asks, what it lets pass, and what it raises on."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.baselines.stored import Baseline
from npu_conformance.cli import main
from npu_conformance.metrics import log_softmax
from npu_conformance.trace import Rows
from npu_conformance.watch.judging import chosen_prompts

from .accepted_runs import accepted
from .conftest import Scene


@pytest.fixture
def path(scene: Scene, tmp_path: Path) -> Path:
    """The baseline of a made-up run of three prompts."""
    return keep(accepted(scene.evidence()), tmp_path)


def keep(baseline: Baseline, folder: Path) -> Path:
    """The file of a baseline."""
    path = folder / "watched.json"
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
def serving(answer: Callable[[dict[str, Any]], dict[str, Any] | int]) -> Iterator[str]:
    """A server that answers completions; a number is the status of an error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name http.server calls
            self._send({"object": "list", "data": [{"id": "served", "object": "model"}]})

        def do_POST(self) -> None:
            self._send(answer(json.loads(self.rfile.read(int(self.headers["content-length"])))))

        def _send(self, told: dict[str, Any] | int) -> None:
            status, body = (told, b"{}") if isinstance(told, int) else (200, json.dumps(told).encode())
            self.send_response(status)
            self.send_header("content-type", "application/json")
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


def check(url: str, path: Path, *words: str) -> int:
    """One check."""
    return main(["watch", "--server", url, "--baseline", str(path), "--once", "--tokens", "40", *words])


def test_the_same_engine_holds(scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its error is the candidate's own, about that of the floor."""
    with serving(of_scene(scene)) as url:
        assert check(url, path) == 0
        assert check(f"{url}/v1/", path, "--model", "served") == 0

    found = re.search(r"holds: 120 positions of 3 prompts, error (\S+) times", capsys.readouterr().out)
    assert found is not None
    assert 0.5 < float(found[1]) < 1.5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda rows: rows + np.random.default_rng(1).normal(size=rows.shape) * 3,
            "the error is|ahead of the baseline",
        ),
        (lambda rows: rows * 1.5, "the error is .* times the noise floor's, allowed are 2"),
        (lambda rows: np.roll(rows, 1, axis=1), "the server says .* ahead of the baseline's"),
        (lambda rows: np.full_like(rows, np.nan), "log-probabilities that are no numbers"),
    ],
)
def test_drift_is_raised(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Rows], Rows], told: str
) -> None:
    """With its place, and exit status 1."""
    with serving(of_scene(scene, change)) as url:
        assert check(url, path) == 1

    assert re.search(rf"DRIFT: .*({told})", capsys.readouterr().out)


def test_a_tie_is_no_drift(scene: Scene, path: Path) -> None:
    """Two tokens that rounding may exchange, on both sides."""
    width = 1e-4

    def exchanged(rows: Rows) -> Rows:
        best, second = np.argsort(-rows[5])[:2]
        rows[5, second] = rows[5, best] + width
        return rows

    for side in ("candidate", "reference", *(f"floor/{name}" for name in ("dithered1", "eager", "sdpa"))):

        def near(rows: Rows) -> Rows:
            best, second = np.argsort(-rows[5])[:2]
            rows[5, second] = rows[5, best] - width
            return rows

        for index in range(3):
            scene.edit_logits(side, index, near)
    kept = keep(accepted(scene.evidence()), path.parent)
    with serving(of_scene(scene, exchanged)) as url:
        assert check(url, kept) == 0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: 500, "Error code: 500"),
        (lambda _: {"id": "1", "object": "text_completion", "choices": []}, "without log-probabilities"),
        (
            lambda _: {
                "choices": [
                    {"index": 0, "text": "", "logprobs": {"tokens": ["a"], "token_logprobs": [0], "top_logprobs": [{}]}}
                ]
            },
            "names tokens by their text",
        ),
    ],
)
def test_a_server_that_cannot_be_judged_is_an_error(
    path: Path, capsys: pytest.CaptureFixture[str], answer: Callable[[dict[str, Any]], Any], told: str
) -> None:
    """Silence is no agreement."""
    with serving(answer) as url:
        assert check(url, path) == 1

    assert told in capsys.readouterr().err


def test_a_wrong_name_and_a_wrong_address_are_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line each."""
    with serving(lambda _: 500) as url:
        assert check(url, path, "--model", "other") == 1
    assert check("http://127.0.0.1:9", path) == 1

    errors = capsys.readouterr().err.splitlines()
    assert "--model other: serves served: name one of these" in errors[0]
    assert "http://127.0.0.1:9/v1: " in errors[1]


def test_prompts_are_spread(path: Path) -> None:
    """From first to last, each once, and never more than there are."""
    from npu_conformance.baselines.stored import read_baseline

    baseline = read_baseline(path)
    assert chosen_prompts(baseline, 2) == [0, 2]
    assert chosen_prompts(baseline, 16) == [0, 1, 2]
