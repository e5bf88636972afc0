"""Watching a server that is not friendly: it drips, never ends, redirects, packs, or answers anything at all."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.baselines.stored import Baseline
from npu_conformance.commands.watch.judging import judge
from npu_conformance.engines.openai import client, transport
from npu_conformance.engines.openai.client import Server
from npu_conformance.engines.openai.transport import ServerError, ask_together
from tests.unit.helpers.baseline_runs import baseline_of
from tests.unit.helpers.scenes import Scene

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def sending(*parts: bytes, pause: float = 0.0, endless: bool = False) -> Iterator[str]:
    """A server that sends bytes to whoever connects, the last of them for ever where it is endless."""
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1000)
                for part in parts:
                    connection.sendall(part)
                    over.wait(pause)
                while endless and not over.wait(pause):
                    connection.sendall(parts[-1])
            except OSError:
                pass

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        listening.close()


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(OK + b"content-length: 100000\r\n\r\n", id="body"),
        pytest.param(OK + b"x-long: ", id="header"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="nothing yet"),
    ],
)
def test_a_server_that_drips_has_an_end(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is of all of the answer, not of its next byte."""
    monkeypatch.setattr(transport, "SECONDS", 0.6)
    began = time.monotonic()
    with sending(begin, b"1", pause=0.05, endless=True) as url, pytest.raises(ServerError, match=r"answer in 0\.6 s"):
        ask_together(url, "none", [None])

    assert time.monotonic() - began < 5


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr(transport, "BYTES", 2**20)
    with (
        sending(OK + b"\r\n", b"1" * 2**16, endless=True) as url,
        pytest.raises(ServerError, match="answers more than 1 MiB: is it an OpenAI-compatible server"),
    ):
        ask_together(url, "none", [None])


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\n\r\n",), "redirects elsewhere (status 302): name"),
        ((b"HTTP/1.1 404 Not Found\r\n\r\n\x1b[2Jgone",), "answers with status 404: '\\x1b[2Jgone'"),
        ((b"SSH-2.0-OpenSSH\r\n\r\n",), "illegal status line"),
        ((b"",), "disconnected without sending"),
        ((OK + b"content-length: 9\r\n\r\n1",), "peer closed connection"),
        ((OK + b"content-length: -9\r\n\r\n1",), "bad Content-Length"),
    ],
)
def test_what_is_no_answer_is_one_message(parts: tuple[bytes, ...], told: str) -> None:
    """Without control characters."""
    with sending(*parts) as url, pytest.raises(ServerError) as raised:
        ask_together(url, "none", [None])

    assert told in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("url", "key"), [*(("http://127.0.0.1:9", key) for key in ("ключ", "a\nb", "secret ")), ("http://", "")]
)
def test_what_cannot_be_asked_is_one_message(url: str, key: str) -> None:
    """A key that no header can hold, an address without a host."""
    with pytest.raises(ServerError) as raised:
        ask_together(url, key, [None])

    assert str(raised.value).isprintable()
    assert str(raised.value) != f"{url}: "
    assert "secret" not in str(raised.value)


def test_a_name_of_the_server_is_printed_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not all of a million."""
    names = {"data": [{"id": f"\x1b]0;{number}"} for number in range(10_000)]}
    monkeypatch.setattr(client, "ask_together", lambda *_: [json.dumps(names).encode()])
    with pytest.raises(ServerError) as raised:
        Server("http://host", "mine", "none")

    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("tokens", "tops", "told"),
    [
        (["token_id:" + "9" * 5000], [{}], "names tokens by their text"),
        (["token_id:-1"], [{}], "names tokens by their text"),
        (["token_id:٣"], [{}], "names tokens by their text"),
        (["token_id:1"] * 3, [{}] * 3, "answered 3 tokens, was asked for 2"),
    ],
)
def test_numbers_have_their_bounds(
    tokens: list[str], tops: list[dict[str, float]], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no tokenizer has is no token."""
    answer = {"data": [{"id": "m"}], "choices": [{"logprobs": {"tokens": tokens, "top_logprobs": tops}}]}
    monkeypatch.setattr(client, "ask_together", lambda *_: [json.dumps(answer).encode()])
    with pytest.raises(ServerError) as raised:
        Server("http://host", None, "none").continue_prompt([1], 2, "")

    assert told in str(raised.value)
    assert len(str(raised.value)) < 400


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0.0, -0.5, -9999.0, 1e308, -1e308, 3, True, "x", [], {}, 10**400, float("nan")]
)
NAMES = st.sampled_from([f"token_id:{one}" for one in (0, 1, 2, 7, 999_999_999, 10**12, "x", "")] + ["", "\x1b"])
TOP = st.dictionaries(NAMES, VALUES)
ANSWERS = st.fixed_dictionaries(
    {
        "tokens": st.lists(NAMES, max_size=5),
        "top_logprobs": st.lists(st.none() | TOP, max_size=5),
    }
)
ANYTHING = st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=8)


@pytest.fixture
def baseline(scene: Scene) -> Baseline:
    """Of a made-up run of three prompts."""
    return baseline_of(scene.evidence())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the server answers next is its last."""
    said = [json.dumps({"data": [{"id": "m"}]}).encode()]
    monkeypatch.setattr(client, "ask_together", lambda *_: [said[-1]])
    return said


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(lambda told: {"choices": [{"logprobs": told}]}, ANSWERS | ANYTHING) | ANYTHING | st.binary(max_size=40)
)
def test_any_answer_is_judged_or_one_message(baseline: Baseline, answers: list[bytes], content: Any) -> None:
    """Never a traceback; and what is judged of it is no agreement."""
    del answers[1:]
    server = Server("http://host", None, "none")
    answers.append(content if isinstance(content, bytes) else json.dumps(content).encode())
    try:
        said = server.continue_prompt([1], 5, "")
    except ServerError as error:
        told: str | None = str(error)
    else:
        told = judge(baseline, {0: said, 1: said, 2: said}, 5).alarm
    assert told is not None
    assert told.isprintable()


@pytest.mark.parametrize(
    "said",
    [
        'sk/pl+anted"\\',
        r"sk\/pl+anted\"\\",
        r"sk/pl\u002Banted\u0022\u005c",
        "".join(f"\\u{ord(c):04x}" for c in 'sk/pl+anted"\\'),
    ],
)
def test_a_key_that_is_sent_back_is_left_out_however_it_is_written(said: str) -> None:
    """JSON has several forms of a character, and servers choose."""
    with sending(OK + b"\r\n" + f'{{"text": "your {said}!"}}'.encode()) as url:
        assert ask_together(url, 'sk/pl+anted"\\', [None])[0] == b'{"text": "your (key)!"}'


@pytest.mark.parametrize("scheme", ["socks5", "none"])
def test_a_proxy_that_cannot_be_used_is_one_message(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its password."""
    monkeypatch.setattr(transport, "_FIRST", 0.001)
    monkeypatch.setenv("HTTP_PROXY", f"{scheme}://me:secret@127.0.0.1:9")
    with pytest.raises(ServerError) as raised:
        ask_together("http://host.invalid", "none", [None])

    assert str(raised.value).isprintable()
    assert "secret" not in str(raised.value)
