"""A worker process, seen from the one that starts it: for a job, or ahead of it.

What a reference imports takes seconds, in which an engine that starts uses one core.
"""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from npu_conformance.machine.storage import LOG_VARIABLE
from npu_conformance.workers.guard import end_marked
from npu_conformance.workers.guarded import environment_of

_WORKER = "npu_conformance.workers.worker"


class Worker:
    """A worker process, in a session of its own; its output goes to `log.txt` in its folder."""

    def __init__(
        self,
        workdir: Path,
        *,
        token: str | None = None,
        environment: Mapping[str, str] | None = None,
        python: Path | None = None,
        held: Sequence[int] = (),
        ahead_of: str | None = None,
    ) -> None:
        """Start it.

        Args:
            workdir: an existing folder, for the job's file, log and progress.
            token: what all its processes carry in their environment; a new one by default.
            environment: variables added to this process's own.
            python: the interpreter; this one by default.
            held: descriptors of locks, which stay open as long as the process.
            ahead_of: a kind of job that is not there yet. It imports what such a job needs and waits for `go`.
        """
        self.workdir = workdir
        self.log = workdir / "log.txt"
        self.token = token or uuid.uuid4().hex[:16]
        kind = [] if ahead_of is None else [ahead_of]
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [str(python or sys.executable), "-m", _WORKER, str(workdir), *kind],
                stdin=subprocess.PIPE if kind else subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment_of({**(environment or {}), LOG_VARIABLE: str(self.log)}, self.token),
                pass_fds=held,
            )

    def go(self) -> None:
        """Tell one that was started ahead of its job that the job's file is there."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has died, and who watches it will see
                self.process.stdin.write(b"\n")
                self.process.stdin.flush()

    def end(self) -> None:
        """Kill its process group, then whatever still carries its token in its environment."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()  # closes its input too
        end_marked(self.token)
