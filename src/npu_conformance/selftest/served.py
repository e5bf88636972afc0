"""A vLLM server of a twin, into which faults can be put while it runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npu_conformance.errors import JobError

_EXTENSION = "npu_conformance.selftest.served_extension.FaultyWorker"
NAME = "served"
"""Of the model, at the server."""
# Seconds in which it must answer, and must have ended.
_UP, _DOWN = 300.0, 60.0


@dataclass(frozen=True)
class FaultyServer:
    """A server that runs."""

    url: str

    def put(self, kind: str, strength: float) -> None:
        """Put a fault into it, in place of the one that is there (see `selftest.catalogue`)."""
        self._call("put_fault", [kind, str(strength)])

    def heal(self) -> None:
        """Take the fault out."""
        self._call("take_fault_out", [])

    def _call(self, method: str, words: list[str]) -> None:
        import httpx

        answer = httpx.post(f"{self.url}/collective_rpc", json={"method": method, "args": words}, timeout=_DOWN)
        if answer.status_code != 200:
            raise JobError(f"{self.url}: {method} {' '.join(words)}: status {answer.status_code}: {answer.text[:200]}")


@contextmanager
def faulty_server(
    checkpoint: Path, options: Mapping[str, Any], environment: Mapping[str, str], log: Path
) -> Iterator[FaultyServer]:
    """Serve a checkpoint on this machine, and end it with all its processes.

    Args:
        checkpoint: folder.
        options: engine arguments, by vLLM's names.
        environment: variables added to this process's own.
        log: file of what it says.

    Raises:
        JobError: it does not come up; names its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--served-model-name", NAME]
    words += ["--host", "127.0.0.1", "--port", str(port), "--worker-extension-cls", _EXTENSION, *_flags(options)]
    # Its RPC route is there in this mode only.
    own = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **environment, **own},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(process, url, log)
        yield FaultyServer(url)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):  # it and all that it started have ended
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_DOWN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    import httpx

    until = time.monotonic() + _UP
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise JobError(f"the server did not come up; log: {log}")
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        time.sleep(0.5)


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Engine arguments as words of vLLM's command line."""
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        elif value is not None:
            yield from (f"--{flag}", json.dumps(value) if isinstance(value, (dict, list)) else str(value))
