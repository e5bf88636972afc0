"""What is asked of vLLM's server and what is kept of its answers, at a made-up one that may misbehave."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.engines.openai.serving import job, mistakes, prompts, talk
from npu_conformance.engines.openai.serving.defaults import declared
from npu_conformance.engines.openai.serving.ends import stop_of
from npu_conformance.engines.openai.serving.job import run, serve_words
from npu_conformance.engines.openai.serving.names import names_of
from npu_conformance.engines.openai.serving.talk import Talk
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.engines.tokenizer_file import TokenizerFile
from npu_conformance.errors import CheckpointError
from npu_conformance.traces.serving import Listed, Served, load_served
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.fake_serving import LORA, MODEL, Change, Tokenizer, faking, job_for, reply


def silent(_phase: str, _done: int, _total: int) -> None:
    """Progress for nobody."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and the made-up model's tokenizer."""
    monkeypatch.setattr(mistakes, "_PAUSE", 0.01)
    monkeypatch.setattr(job, "_SECONDS", 10.0)
    monkeypatch.setattr(prompts, "load_tokenizer", lambda *_: Tokenizer())


def asked(folder: Path, change: Change = lambda _p, _q, answer: answer) -> Served:
    """The record that a server's answers leave."""
    with faking(change) as url:
        run(job_for(url, folder), silent)
    return load_served(folder / "serving" / "candidate")


def test_a_right_server_leaves_a_trace_and_a_record_of_all(tmp_path: Path) -> None:
    """Under the LoRA's name, found by what the server lists."""
    served = asked(tmp_path)
    trace = load_trace(tmp_path / "serving" / "candidate")

    assert (served.model, served.adapter) == (MODEL, LORA)
    assert [one.prompt for one in trace.answers] == ["set/first", "set/second"]
    assert all(one.token_ids == tuple(reply(list(one.prompt_ids), LORA)) for one in trace.answers)
    assert [(one.prompt, one.route, one.found == one.expected) for one in served.read] == [
        (prompt, route, True) for prompt in ("set/first", "set/second") for route in ("completions", "chat")
    ]
    assert [one.prompt for one in served.chat] == ["set/second"]
    assert all(one.parts.token_ids == one.whole.token_ids and one.ended for one in served.streams)
    assert all(one.parts.text == one.whole.text for one in served.streams)
    assert {one.whole.route for one in served.streams} == {"completions", "chat"}
    assert [one.said.text for one in served.stops] == [one.whole[: one.whole.find(one.stop)] for one in served.stops]
    assert [len(one.said.token_ids or ()) for one in served.cuts] == [one.max_tokens for one in served.cuts]
    assert {one.name for one in served.firsts} == {MODEL, LORA}
    assert sum(one.times for one in served.crowd) == 8
    assert [(one.said.prompt, one.times) for one in served.repeated] == [("set/second", 50)]
    assert len(served.crowd) == 2
    assert [(one.status, one.as_error) for one in served.refused] == [(404, True), (404, True), *[(400, True)] * 5]
    assert all(one.after is not None and one.after.token_ids for one in served.refused)
    assert served.hung_up is not None
    assert served.hung_up.running == 0


def test_what_a_server_does_wrong_is_kept_as_it_came(tmp_path: Path) -> None:
    """Judging is done elsewhere."""

    def change(path: str, question: dict[str, Any], answer: Any) -> Any:
        if path == "/metrics":
            return None
        if question.get("stream"):
            return [part for place, part in enumerate(answer) if place != 3]
        if question.get("model", "").endswith("nobody-serves"):
            return 500, "a traceback"
        if question == {}:
            return None, None
        if path.endswith("chat/completions") and answer[0] == 200:
            answer[1]["prompt_token_ids"].insert(0, 1)
        return answer

    served = asked(tmp_path, change)
    by_what = {one.what: one for one in served.refused}

    assert all(len(one.parts.token_ids or ()) == len(one.whole.token_ids or ()) - 1 for one in served.streams)
    assert [one.found == one.expected for one in served.read if one.route == "chat"] == [False, False]
    assert (by_what["a model that is not served"].status, by_what["a model that is not served"].as_error) == (
        500,
        False,
    )
    assert by_what["JSON that ends too early"].status is None
    assert served.hung_up is not None
    assert served.hung_up.running is None


def test_a_request_that_goes_on_is_counted(tmp_path: Path) -> None:
    """Also where the server answers others."""
    served = asked(
        tmp_path, lambda path, _, answer: "vllm:num_requests_running 2.0\n" if path == "/metrics" else answer
    )

    assert served.hung_up is not None
    assert served.hung_up.running == 2


@pytest.mark.parametrize("count", ["1.2.3", "e+", "1e999", "NaN", "-1", "9" * 5000])
def test_a_count_that_is_none_is_not_told(tmp_path: Path, count: str) -> None:
    """Whatever stands there, all else that was asked is kept."""
    text = f'vllm:num_requests_running{{engine="0"}} {count}\nvllm:num_requests_waiting 0.0\n'
    served = asked(tmp_path, lambda path, _, answer: text if path == "/metrics" else answer)

    assert served.hung_up is not None
    assert served.hung_up.running is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _p, _q, _a: (500, "no"), "answers with status 500 at a right request: no"),
        (lambda _p, _q, _a: (200, "no JSON"), "not that of an OpenAI-compatible server: Invalid JSON"),
        (lambda _p, _q, _a: (None, None), "breaks the connection at a right request"),
    ],
)
def test_a_server_that_answers_nothing_right_is_one_error(tmp_path: Path, change: Change, told: str) -> None:
    """And leaves nothing that could be judged."""
    with pytest.raises(ServerError, match=told):
        asked(tmp_path, change)
    assert not (tmp_path / "serving" / "candidate").exists()


def test_a_server_that_tells_no_tokens_is_refused(tmp_path: Path) -> None:
    """Nothing could be compared."""

    def change(_path: str, _question: dict[str, Any], answer: Any) -> Any:
        if isinstance(answer, tuple) and answer[0] == 200:
            answer[1]["choices"][0].pop("token_ids")
        return answer

    with pytest.raises(ServerError, match="does not tell the ids of its tokens: is it vLLM's"):
        asked(tmp_path, change)


def test_a_server_that_cannot_be_reached_is_one_error(tmp_path: Path) -> None:
    """Said once, with its address."""
    with pytest.raises(ServerError, match=r"http://127.0.0.1:9/v1/models"):
        run(job_for("http://127.0.0.1:9/v1/", tmp_path), silent)


def test_the_key_is_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the server says it again."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")

    def change(_path: str, question: dict[str, Any], answer: Any) -> Any:
        if question.get("model", "").endswith("nobody-serves"):
            return 404, {"error": {"message": "sk-planted-0123456789"}}
        return answer

    asked(tmp_path, change)
    assert all("planted" not in path.read_text() for path in tmp_path.rglob("*.json"))


LISTED = (Listed(id=MODEL, root="/m"), Listed(id="alias", root="/m"), Listed(id=LORA, parent=MODEL))


@pytest.mark.parametrize(
    ("served_model", "adapted", "listed", "expected"),
    [
        (None, False, LISTED, (MODEL, MODEL)),
        ("alias", False, LISTED, ("alias", "alias")),
        (None, True, LISTED, (LORA, MODEL)),
        (LORA, True, LISTED, (LORA, MODEL)),
        (LORA, True, (Listed(id="other"), Listed(id=LORA, parent="other")), (LORA, "other")),
        ("mine", False, LISTED, "none of these is mine: name it, --served-model"),
        (None, True, LISTED[:2], "none of these is what was judged"),
        (None, True, (*LISTED, Listed(id="second", parent=MODEL)), "none of these is what was judged"),
        (None, False, (), "serves no model"),
        (LORA, True, LISTED[2:], "serves a/lora alone"),
    ],
)
def test_the_names_are_found_or_asked_for(
    tmp_path: Path, served_model: str | None, adapted: bool, listed: Sequence[Listed], expected: Any
) -> None:
    """Nothing is guessed where there are several."""
    one = job_for("http://h", tmp_path, served_model=served_model, **({} if adapted else {"adapter": None}))
    if isinstance(expected, str):
        with pytest.raises(ServerError, match=expected):
            names_of(one, listed, "http://h")
    else:
        assert names_of(one, listed, "http://h") == expected


def test_a_server_is_started_with_the_yamls_options_and_names(tmp_path: Path) -> None:
    """The LoRA beside its base, each by its own."""
    words = serve_words(job_for(None, tmp_path, served_model=LORA, trust_remote_code=True))

    assert words == [
        str(tmp_path), "--dtype=bfloat16", "--enforce-eager", f"--served-model-name={MODEL}", "--trust-remote-code",
        "--lora-modules", f"{LORA}={tmp_path / 'lora'}",
    ]  # fmt: skip


def test_sampling_that_files_and_options_ask_for(tmp_path: Path) -> None:
    """As vLLM reads them: of the file, of none, or of another folder; an option is on top."""
    told = {"repetition_penalty": 1.1, "temperature": 0.7, "do_sample": True, "top_k": None}
    (tmp_path / "generation_config.json").write_text(json.dumps(told))
    other = tmp_path / "other"
    other.mkdir()

    assert declared(tmp_path, {}) == {"repetition_penalty": 1.1, "temperature": 0.7}
    assert declared(tmp_path, {"generation_config": "vllm"}) == {}
    assert declared(tmp_path, {"generation_config": str(other)}) == {}
    assert declared(tmp_path, {"override_generation_config": {"repetition_penalty": 1.0}})["repetition_penalty"] == 1.0


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("generation_config.json", b'{"temperature": 0.7,', lambda folder: declared(folder, {})),
        ("generation_config.json", b"\xff\xfe", lambda folder: declared(folder, {})),
        ("generation_config.json", b"[]", lambda folder: declared(folder, {})),
        ("tokenizer_config.json", b"{", TokenizerFile),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(
    tmp_path: Path, name: str, content: bytes, read: Callable[[Path], object]
) -> None:
    """And says what to do."""
    (tmp_path / name).write_bytes(content)
    words = {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", **words}))

    with pytest.raises(CheckpointError, match="download it again") as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_a_stop_string_has_something_before_it() -> None:
    """Else nothing would show what was cut; and no half of a character is asked for."""
    assert stop_of("Safety: Safe") == ": S"
    assert [stop_of(text) for text in ("", "ab", "aaaaaa", "caf\ufffd au lait")] == [None] * 4


def test_a_stream_is_left_in_its_middle_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its length."""
    question = {"model": MODEL, "prompt": [5], "max_tokens": 40, "stream": True}
    with faking() as url:
        there = Talk(url, "none", 10.0)
        whole = there.stream("/v1/completions", question)
        part = there.stream("/v1/completions", question, leave_after=2)
        monkeypatch.setattr(talk, "BYTES", 100)
        with pytest.raises(ServerError, match="streams more than"):
            there.stream("/v1/completions", question)
        with pytest.raises(ServerError, match="status 404"):
            there.stream("/v1/completions", question | {"model": "nobody"})

    assert whole.ended
    assert whole.parts[:2] == part.parts
    assert not part.ended


def test_no_longer_answer_is_asked_for_than_the_server_has_room_for(tmp_path: Path) -> None:
    """It would refuse the request, where an engine without a server ends the answer by itself."""
    with faking() as url:
        run(job_for(url, tmp_path, max_tokens=5000), silent)
    served = load_served(tmp_path / "serving" / "candidate")

    assert all(one.finish_reason == "stop" for one in served.answers)
