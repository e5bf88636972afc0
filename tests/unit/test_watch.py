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

from npu_conformance.baselines.stored import Baseline, Packed
from npu_conformance.cli import main
from npu_conformance.metrics import log_softmax
from npu_conformance.trace import Rows, load_trace
from npu_conformance.watch import command
from npu_conformance.watch.asking import Said
from npu_conformance.watch.judging import Found, chosen_prompts, judge

from .conftest import SCORED, Scene
from .test_baselines import FACTS, accepted, noisy

Answering = Callable[[dict[str, Any]], dict[str, Any] | int | str]
HTML = "<html>maintenance</html>"
MODELS = {"object": "list", "data": [{"id": "served", "object": "model"}]}


@pytest.fixture
def path(scene: Scene, tmp_path: Path) -> Path:
    """The baseline of a made-up run of three prompts."""
    return keep(accepted(scene.evidence()), tmp_path)


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
        (lambda rows: rows * 1.5, "the error is .* times what was accepted, allowed are 2"),
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


def quantised(scene: Scene) -> None:
    """Make the candidate far worse than the noise floor, as one with a scheme is."""
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.3))


def test_a_server_is_allowed_what_the_accepted_run_was(scene: Scene, path: Path) -> None:
    """A quantised model's engine is far from the reference, and still the one that was accepted."""
    quantised(scene)
    kept = keep(accepted(scene.evidence()), path.parent, "quantised")
    with serving(of_scene(scene)) as url:
        assert check(url, path) == 1
        assert check(url, kept) == 0
    with serving(of_scene(scene, noisy(15))) as url:
        assert check(url, kept) == 1


def test_a_tie_of_the_accepted_run_is_one(scene: Scene, path: Path) -> None:
    """Even where the reference has its two tokens apart."""

    def ahead(by: float) -> Callable[[Rows], Rows]:
        def change(rows: Rows) -> Rows:
            best, second = np.argsort(-rows[5])[:2]
            rows[5, second] = rows[5, best] + by
            return rows

        return change

    for side in ("candidate", *SCORED):
        for index in range(3):
            scene.edit_logits(side, index, ahead(-0.5))
    apart = keep(accepted(scene.evidence()), path.parent, "apart")
    with serving(of_scene(scene, ahead(1e-4))) as url:
        assert check(url, apart) == 1
        for index in range(3):
            scene.edit_logits("candidate", index, ahead(-1e-4))
        assert check(url, keep(accepted(scene.evidence()), path.parent, "tied")) == 0


def nonsense(rows: Rows) -> Rows:
    """At seven of eight positions the least likely words, which the baseline lacks, are the runners-up."""
    for step in range(len(rows)):
        if step % 8:
            worst = np.argsort(rows[step])[:4]
            rows[step, worst] = rows[step].max() - 12 + np.arange(4)
    return rows


def test_other_runners_up_are_drift(scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The token is right at every position, and hardly a word beside it is."""
    with serving(of_scene(scene, nonsense)) as url:
        assert check(url, path) == 1

    assert "DRIFT: the error is " in capsys.readouterr().out


@pytest.mark.parametrize(("every", "status", "told"), [(4, 0, "holds: 90 positions of"), (1, 1, "0 of 120 positions")])
def test_positions_that_tell_nothing_are_not_counted(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], every: int, status: int, told: str
) -> None:
    """And are drift where they are too many: nothing passes because there was nothing to compare."""
    whole = of_scene(scene)

    def narrow(asked: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = whole(asked)
        found = answer["choices"][0]["logprobs"]
        for step in range(0, len(found["tokens"]), every):
            found["top_logprobs"][step] = {found["tokens"][step]: found["token_logprobs"][step]}
        return answer

    with serving(narrow) as url:
        assert check(url, path) == status

    assert told in capsys.readouterr().out


@pytest.mark.parametrize("length", [0, 1, 39])
def test_an_answer_that_ends_too_early_is_drift(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    """However well what there is of it agrees."""
    whole = of_scene(scene)
    with serving(lambda asked: whole(asked | {"max_tokens": length})) as url:
        assert check(url, path) == 1

    assert f"ends its answer after {length} of the 40 tokens" in capsys.readouterr().out


def heard(answer: Answering) -> tuple[Answering, list[dict[str, Any]]]:
    """The same answers, and all that was asked."""
    asked: list[dict[str, Any]] = []

    def keeping(question: dict[str, Any]) -> dict[str, Any] | int | str:
        asked.append(question)
        return answer(question)

    return keeping, asked


def test_no_more_is_asked_than_the_baseline_knows(scene: Scene, path: Path) -> None:
    """An answer that ended is not too short."""
    answer, asked = heard(of_scene(scene))
    with serving(answer) as url:
        assert check(url, path, "--tokens", "500") == 0

    assert {one["max_tokens"] for one in asked} == {200}


def test_nothing_is_left_to_the_servers_defaults(scene: Scene, path: Path) -> None:
    """Nor to what it computed in an earlier check."""
    answer, asked = heard(of_scene(scene))
    with serving(answer) as url:
        assert check(url, path) == check(url, path) == 0

    plain = {
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "min_p": 0,
        "repetition_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "n": 1,
    }
    assert all(plain.items() <= one.items() for one in asked)
    salts = [one["cache_salt"] for one in asked]
    assert len(set(salts[:3])) == len(set(salts[3:])) == 1
    assert salts[0] != salts[3]


def test_two_words_that_the_baseline_lacks_are_no_tie(path: Path) -> None:
    """Of these it knows no margin."""
    baseline = Baseline.model_validate_json(path.read_bytes())
    unknown = baseline.prompts[0].model_copy(update={"token_ids": Packed.of([99] * 200, "int32")})
    baseline = baseline.model_copy(update={"prompts": (unknown, *baseline.prompts[1:])})

    (told,) = judge(baseline, {0: [Said(98, {98: -0.5, 99: -0.5})]}, 1).broken
    assert "position 0: the server says '' (#98), 0 ahead of the baseline's '' (#99)" in told


@pytest.mark.parametrize(
    ("answer", "models", "told"),
    [
        (lambda _: HTML, MODELS, "its answer is not that of a vLLM server: Invalid JSON"),
        (lambda _: {"choices": None}, MODELS, "its answer is not that of a vLLM server: choices: "),
        (lambda _: 500, HTML, "its answer is not that of a vLLM server: Invalid JSON"),
        (lambda _: 500, {"data": [{"name": "served"}]}, "data.0.id: Field required"),
        (
            lambda _: {"choices": [{"logprobs": {"tokens": ["token_id:1", "token_id:2"], "top_logprobs": [{}]}}]},
            MODELS,
            "answered 2 tokens with the log-probabilities of 1",
        ),
    ],
)
def test_an_answer_of_another_shape_is_one_message(
    path: Path, capsys: pytest.CaptureFixture[str], answer: Answering, models: dict[str, Any] | str, told: str
) -> None:
    """Of a proxy, or of another server."""
    with serving(answer, models) as url:
        assert check(url, path) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--prompts", "0"), "--prompts 0: expected at least 3"),
        (("--prompts", "-1"), "--prompts -1: expected at least 3"),
        (("--tokens", "0"), "--tokens 0: expected at least 1"),
        (("--every", "0"), "--every 0: expected seconds"),
        (("--every", "nan"), "--every nan: expected seconds"),
        (("--server", "host:8000"), "--server host:8000: expected an address such as http://"),
    ],
)
def test_an_option_without_sense_is_told_before_anything_is_asked(
    path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], told: str
) -> None:
    """As one of a wrong command line."""
    assert check("http://127.0.0.1:9", path, *words) == 4
    assert told in capsys.readouterr().err


def test_a_baseline_of_too_few_prompts_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No server could ever hold against it."""
    baseline = Baseline.model_validate_json(path.read_bytes())
    n = baseline.bounds[2]

    def cut(packed: Packed) -> Packed:
        return Packed.of(packed.array()[:n], packed.dtype)

    def few(run: Any) -> Any:
        return run.model_copy(update={name: cut(one) for name, one in run if isinstance(one, Packed)})

    parts = {"prompts": baseline.prompts[:2], "reference": few(baseline.reference), "run": few(baseline.run)}
    parts["floor"] = {name: few(one) for name, one in baseline.floor.items()}
    keep(baseline.model_copy(update=parts).sealed(), path.parent)

    assert check("http://127.0.0.1:9", path) == 4
    assert "has 2 prompts, at least 3 are needed" in capsys.readouterr().err


class Slept:
    """In place of `time.sleep`: what was slept, interrupted where it is too often."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self._most = most

    def __call__(self, seconds: float) -> None:
        """Sleep."""
        self.seconds.append(seconds)
        if len(self.seconds) == self._most:
            raise KeyboardInterrupt


def test_it_checks_until_the_server_drifts(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pause from one check to the next."""
    slept = Slept(9)
    monkeypatch.setattr("time.sleep", slept)
    sound, drifted = of_scene(scene), of_scene(scene, nonsense)
    answer, asked = heard(lambda question: (sound if len(asked) <= 6 else drifted)(question))
    with serving(answer) as url:
        assert main(["watch", "--server", url, "--baseline", str(path), "--every", "7", "--tokens", "40"]) == 1

    assert slept.seconds == [7, 7]
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["holds:", "holds:", "DRIFT:"]


def test_a_server_out_of_reach_three_times_in_a_row_is_an_error(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice, it may be restarting; and what was before it came back does not count."""
    slept = Slept(9)
    monkeypatch.setattr("time.sleep", slept)
    sound = of_scene(scene)
    # Questions 3 to 5 are those of the one check that reaches it.
    answer, asked = heard(lambda question: sound(question) if 3 <= len(asked) <= 5 else HTML)
    with serving(answer) as url:
        assert main(["watch", "--server", url, "--baseline", str(path), "--tokens", "40"]) == 1

    told = capsys.readouterr()
    assert [line.split(maxsplit=1)[1].split(":")[0] for line in told.out.splitlines()[1:]] == [
        *["not checked"] * 2,
        "holds",
        *["not checked"] * 3,
    ]
    assert "ERROR: " in told.err
    assert len(slept.seconds) == 5


def test_more_than_is_allowed_of_few_prompts_is_unsure(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what would tell."""
    trace, exact = scene.evidence().candidate, load_trace(scene.folder / "reference")
    far = {
        answer.prompt_ids: exact.logits(at) + 4 * (trace.logits(at) - exact.logits(at))
        for at, answer in enumerate(trace.answers)
    }
    with serving(lambda asked: completion(far[tuple(asked["prompt"])], asked["max_tokens"])) as url:
        assert check(url, path, "--tokens", "8") == 0

    assert re.search(r"unsure, ask for more --prompts: 24 positions of 3 prompts, error 2[.]", capsys.readouterr().out)


def test_a_twins_baseline_says_so(scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the first line."""
    twins = keep(accepted(scene.evidence(), facts=FACTS | {"kind": "twin"}), path.parent, "twins")
    with serving(of_scene(scene)) as url:
        assert check(url, path) == check(url, twins) == 0

    real, _, twin, _ = capsys.readouterr().out.splitlines()
    assert "TWIN" not in real
    assert "A TWIN'S, which says nothing of the model" in twin


def test_every_prompt_has_its_turn() -> None:
    """A check asks for so many, each once, and never more than there are."""
    order = [3, 1, 4, 0, 2]
    turns = [chosen_prompts(order, 2, turn) for turn in range(5)]

    assert turns == [[3, 1], [4, 0], [2, 3], [1, 4], [0, 2]]
    assert sorted(chosen_prompts(order, 16, 1)) == sorted(order)


def test_later_checks_ask_for_other_prompts(scene: Scene, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all had their turn; a check by cron begins anywhere."""
    monkeypatch.setattr("time.sleep", Slept(3))
    monkeypatch.setattr(command, "PROMPTS", 1)
    monkeypatch.setattr(command, "judge", lambda *_: Found(8, 8, 3, 1.0, 1.0, ()))
    answer, asked = heard(of_scene(scene))
    with serving(answer) as url:
        with pytest.raises(KeyboardInterrupt):
            main(["watch", "--server", url, "--baseline", str(path), "--prompts", "1"])
        assert {one["prompt"][2] for one in asked} == {3, 4, 5}
        for _ in range(30):
            assert check(url, path, "--prompts", "1") == 0

    assert {one["prompt"][2] for one in asked[3:]} == {3, 4, 5}
