"""A process that outlives the one that started a job and ends what is left of it. Started by `supervise`.

When pytest is killed outright its worker goes with it (see `worker`), but not what the worker had started: vLLM's
processes of several ranks notice late or never, and they hold devices without the locks on them, since Python's
multiprocessing closes all descriptors. The guard inherits the locks and gives them back when nobody needs them.

A process of the job is known by its token, or by its group: vLLM's ranks give themselves a title, which writes over the
environment that others can read, unless SPT_NOENV is set (vllm/utils/system_utils.py; setproctitle's manual).
"""

import contextlib
import os
import sys
import time

import psutil

from npu_conformance.machine.storage import JOB_VARIABLE

_PAUSE = 0.5
_POLL = 0.02
_LONGEST = 10.0


def main(token: str) -> None:
    """Wait for the end of standard input, which is the end of who holds its other end, then end the job.

    What was written there is the worker's process id, which is its group's.
    """
    told = sys.stdin.buffer.read()
    group = int(told) if told else None
    quiet = 0
    # Twice, for a process that was just being started carries no token yet.
    while quiet < 2:
        quiet = 0 if end_marked(token, group) else quiet + 1
        time.sleep(_PAUSE)


def end_marked(token: str, group: int | None = None) -> int:
    """Kill a job's processes and wait for their end; how many there were.

    Args:
        token: what they carry in their environment; what a job of theirs carries begins with it.
        group: a process group that is the job's too.
    """
    found = [process for process in psutil.process_iter() if alive(process) and _is_marked(process, token, group)]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    until = time.monotonic() + _LONGEST
    while any(map(alive, found)) and time.monotonic() < until:
        time.sleep(_POLL)
    return len(found)


def alive(process: psutil.Process) -> bool:
    """Whether it may still use anything.

    A dead one stays in the table until its parent has asked for it, which some containers' first process never does;
    so does one whose first thread has ended before the others, which may be busy in a driver.
    """
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.Error:
        return False


def _is_marked(process: psutil.Process, token: str, group: int | None) -> bool:
    try:
        return os.getpgid(process.pid) == group or process.environ().get(JOB_VARIABLE, "").startswith(token)
    except (psutil.Error, ProcessLookupError):
        return False


if __name__ == "__main__":
    main(sys.argv[1])
