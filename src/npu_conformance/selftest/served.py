"""A vLLM server of a twin, into which faults can be put while it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npu_conformance.errors import JobError
from npu_conformance.workers.server import as_words, running

_EXTENSION = "npu_conformance.selftest.served_extension.FaultyWorker"
NAME = "served"
"""Of the model, at the server."""
# Seconds of one call.
_CALL = 60.0


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

        answer = httpx.post(f"{self.url}/collective_rpc", json={"method": method, "args": words}, timeout=_CALL)
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
        JobError: it does not come up, or ends; with what its log says.
    """
    words = [str(checkpoint), f"--served-model-name={NAME}", f"--worker-extension-cls={_EXTENSION}", *as_words(options)]
    # Its RPC route is there in this mode only.
    with running(words, {**environment, "VLLM_SERVER_DEV_MODE": "1"}, log) as url:
        yield FaultyServer(url)
