"""Processes that are started for a job: their environment, and who ends them should the one that started them die."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import npu_conformance
from npu_conformance.machine.storage import JOB_VARIABLE


class Guard:
    """Ends a job's processes when this one is killed outright (see `guard`)."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Args: process: the guard's own."""
        self._process = process

    def watch(self, group: int) -> None:
        """Name the job's process group; who is killed before has started nothing, or nothing without its token."""
        with contextlib.suppress(BrokenPipeError):  # somebody killed the guard
            if self._process.stdin is not None:
                os.write(self._process.stdin.fileno(), str(group).encode())

    def kill(self) -> None:
        """End the guard itself: all has been ended."""
        self._process.kill()


@contextmanager
def guarded(token: str, held: Sequence[int] = ()) -> Iterator[Guard]:
    """Have another process end the job when its input ends: with the context, or because this process was killed.

    Args:
        token: what the job's processes carry in their environment.
        held: descriptors of locks, which stay open as long as there are processes of the job.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "npu_conformance.workers.guard", token],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment_of({}, None),
        pass_fds=held,
    ) as process:
        yield Guard(process)


def environment_of(extra: Mapping[str, str], token: str | None) -> dict[str, str]:
    """Of a process that is started: this one's, with others on top, and the job's token.

    Args:
        extra: variables added to this process's own.
        token: of the job; None of a process that is none of it.
    """
    # The package must be importable also where --reference-python names an interpreter without it.
    source = str(Path(npu_conformance.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    # SPT_NOENV: titles that processes give themselves must not write over the token, see `guard`.
    marked = {} if token is None else {JOB_VARIABLE: token, "SPT_NOENV": "1"}
    # Who crashes in native code says so in the log.
    talking = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    return {**os.environ, "PYTHONPATH": path, **talking, **extra, **marked}
