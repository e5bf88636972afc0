"""A server that is started on this machine, awaited, asked, and ended with all that it started.

It is vLLM's own, `vllm serve`. Who dies while it runs leaves nothing: a guard ends its processes (see `guard`).
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from npu_conformance.errors import ConformanceError, JobError
from npu_conformance.machine.storage import JOB_VARIABLE
from npu_conformance.workers.guard import end_marked
from npu_conformance.workers.guarded import environment_of, guarded
from npu_conformance.workers.known_failures import explanation
from npu_conformance.workers.supervise import described_exit, tail

READY = 300.0
"""Seconds in which a server must be ready, where nobody says another time."""
VLLM = ("-m", "npu_conformance.workers.vllm_command")
"""Words after the interpreter that are vLLM's command."""
HOST = "127.0.0.1"
# Numbers, to argparse.
_NEGATIVE = re.compile(r"-(\d+|\d*\.\d+)")
# Seconds in which it must have ended by itself, between two looks at it, and that a dying one may still answer.
_DOWN, _POLL, _GRACE = 30.0, 0.5, 3.0


@contextmanager
def running(
    words: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    seconds: float = READY,
    port: int | None = None,
) -> Iterator[str]:
    """Serve on this machine until the context ends; then none of the server's processes is left.

    Args:
        words: of `vllm serve`: the model and its options, see `as_words`; without host and port.
        environment: variables added to this process's own.
        log: file to which is added what the server says.
        seconds: in which it must be ready.
        port: that it listens on; a free one by default.

    Yields:
        Its address, without `/v1`.

    Raises:
        JobError: the port is taken; the server ended, or is not ready in time; or it ended while it was asked. Says
            what is known of that, and the last lines of its log.
    """
    port = _free_port(port)
    token = f"{os.environ.get(JOB_VARIABLE, '')}{uuid.uuid4().hex[:16]}"
    command = [sys.executable, *VLLM, "serve", *words, f"--host={HOST}", f"--port={port}"]
    with log.open("ab") as sink, guarded(token) as guard:
        process = subprocess.Popen(
            command,
            # Only with an engine in a process of its own is there a server. The key of the user's own servers
            # is none of this one's: who asks it here has another, or none.
            env=environment_of({**environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_API_KEY": ""}, token),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            guard.watch(process.pid)
            url = f"http://{HOST}:{port}"
            with _told_of_its_end(process, log):
                _await(process, url, port, seconds)
                yield url
        finally:
            _end(process, token)
            guard.kill()  # not before: a second Ctrl-C may come while the first is dealt with


def as_words(options: Mapping[str, Any]) -> Iterator[str]:
    """Engine arguments, by vLLM's names, as words of its command line; those that are None are left out.

    Raises:
        JobError: a list that no words of a command line can say.
    """
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        elif isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
            yield from _listed(flag, [str(one) for one in value])
        elif isinstance(value, dict | list | tuple):
            yield f"--{flag}={json.dumps(value)}"
        elif value is not None:
            yield f"--{flag}={value}"


def _listed(flag: str, items: list[str]) -> Iterator[str]:
    """A list, by which the command line takes one or more words: each that begins with - is an option to it."""
    if len(items) == 1:
        yield f"--{flag}={items[0]}"
        return
    options = [one for one in items if one.startswith("-") and not _NEGATIVE.fullmatch(one)]
    if options or not items:
        lacking = f"no item that begins with -, as {options[0]!r} does" if options else "no empty list"
        raise JobError(
            f"--{flag}: vLLM's command line takes {lacking}, so its server cannot be started with these options: "
            f"change {flag.replace('-', '_')} in the model's YAML, or leave it out"
        )
    yield from (f"--{flag}", *items)


def _free_port(wanted: int | None) -> int:
    """A port that nobody listens on: vLLM binds one that another process shares with it, and both are asked then."""
    with socket.socket() as free:
        try:
            free.bind((HOST, wanted or 0))
        except OSError as error:
            raise JobError(f"port {wanted} of {HOST} is taken by another process, or not allowed: {error}") from error
        return int(free.getsockname()[1])


class _NotReadyError(JobError):
    """The server did not come up."""


def _await(process: "subprocess.Popen[bytes]", url: str, port: int, seconds: float) -> None:
    import httpx

    until, strange = time.monotonic() + seconds, False
    other = f"port {port} of {HOST}: another process answers there, not the server that was started"
    while time.monotonic() < until:
        if process.poll() is not None:
            ended = f"the server {described_exit(process.returncode)} before it was ready"
            raise _NotReadyError(f"{other}; {ended}" if strange else ended)
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200:
                listening = _listening(process)
                if listening is None or port in listening:
                    return
                if listening:
                    raise _NotReadyError(other)
                strange = True  # the server has not got as far as to listen: its own error will say more
        time.sleep(_POLL)
    late = f"the server was not ready after {seconds:g} s: {url}/health did not answer with status 200"
    raise _NotReadyError(other if strange else late)


def _listening(process: "subprocess.Popen[bytes]") -> set[int] | None:
    """Ports on which it or what it started listens; None where nobody is shown that."""
    found: set[int] = set()
    with suppress(psutil.NoSuchProcess):
        own = psutil.Process(process.pid)
        for member in (own, *own.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # one that has ended meanwhile listens nowhere
                try:
                    found |= _ports(member)
                except psutil.AccessDenied:
                    return None
    return found if found or _shown() else None


def _shown() -> bool:
    """Whether this system shows who listens: some containers show no sockets, and raise no error."""
    with socket.socket() as own:
        own.bind((HOST, 0))
        own.listen()
        return own.getsockname()[1] in _ports(psutil.Process())


def _ports(process: psutil.Process) -> set[int]:
    return {one.laddr.port for one in _sockets(process) if one.status == psutil.CONN_LISTEN}


def _sockets(process: psutil.Process) -> list[Any]:
    """Of a process; `connections` in psutil before 6."""
    named = getattr(process, "net_connections", None) or process.connections
    found: list[Any] = named(kind="tcp")
    return found


@contextmanager
def _told_of_its_end(process: "subprocess.Popen[bytes]", log: Path) -> Iterator[None]:
    """Add to an error what the log of a server says that has ended, or did not come up."""
    try:
        yield
    except ConformanceError as error:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)  # who was asked in its last moment hears of it before the system does
        if process.poll() is None and not isinstance(error, _NotReadyError):
            raise
        meanwhile = "" if isinstance(error, _NotReadyError) else f"; the server {described_exit(process.returncode)}"
        known = explanation(log, killed=process.returncode == -signal.SIGKILL)
        raise JobError(f"{error}{meanwhile}\n{known}last lines of {log}:\n{tail(log)}") from error


def _end(process: "subprocess.Popen[bytes]", token: str) -> None:
    """Ask it to end, then kill its group and whatever carries its token."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DOWN)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end_marked(token, process.pid)
