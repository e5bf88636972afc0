"""Watching a server: what it asks, how often, and what it says of one that cannot be judged."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.baselines.packed import Packed
from npu_conformance.baselines.stored import Baseline
from npu_conformance.commands.watch import command
from npu_conformance.commands.watch.judging import ServerCheck, chosen_prompts
from tests.unit.helpers.baseline_runs import FACTS, baseline_of
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.served_answers import HTML, MODELS, Answering, check, heard, keep, nonsense, of_scene, serving


@pytest.fixture
def path(scene: Scene, tmp_path: Path) -> Path:
    """The baseline of a made-up run of three prompts."""
    return keep(baseline_of(scene.evidence()), tmp_path)


def test_the_same_engine_holds(scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its error is the candidate's own, about that of the floor."""
    with serving(of_scene(scene)) as url:
        assert check(url, path) == 0
        assert check(f"{url}/v1/", path, "--model", "served") == 0

    found = re.search(r"holds: 120 positions of 3 prompts, error (\S+) times", capsys.readouterr().out)
    assert found is not None
    assert 0.5 < float(found[1]) < 1.5


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: 500, "answers with status 500: {}"),
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
    assert "other: serves served: name one of these" in errors[0]
    assert "http://127.0.0.1:9/v1/models: All connection attempts failed" in errors[1]


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


@pytest.mark.parametrize(
    ("answer", "models", "told"),
    [
        (lambda _: HTML, MODELS, "its answer is not that of an OpenAI-compatible server: Invalid JSON"),
        (lambda _: {"choices": None}, MODELS, "its answer is not that of an OpenAI-compatible server: choices: "),
        (lambda _: 500, HTML, "its answer is not that of an OpenAI-compatible server: Invalid JSON"),
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
        (("--server", "http://[::1"), "--server http://[::1: expected an address such as http://"),
        (("--server", "http://host:port"), "--server http://host:port: expected an address such as http://"),
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

    reference = few(baseline.reference).model_copy(update={"texts": baseline.reference.texts[:2]})
    parts = {"prompts": baseline.prompts[:2], "reference": reference, "run": few(baseline.run)}
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


def test_a_twins_baseline_says_so(scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the first line."""
    twins = keep(baseline_of(scene.evidence(), facts=FACTS | {"kind": "twin"}), path.parent, "twins")
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
    monkeypatch.setattr(command, "judge", lambda *_: ServerCheck(8, 8, 3, 1.0, 1.0, ()))
    answer, asked = heard(of_scene(scene))
    with serving(answer) as url:
        assert main(["watch", "--server", url, "--baseline", str(path), "--prompts", "1"]) == 130
        assert {one["prompt"][2] for one in asked} == {3, 4, 5}
        for _ in range(30):
            assert check(url, path, "--prompts", "1") == 0

    assert {one["prompt"][2] for one in asked[3:]} == {3, 4, 5}
