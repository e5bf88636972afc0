"""A process that outlives the one that started a job and ends what is left of it. Started by `supervise`.

When pytest is killed outright its worker goes with it (see `worker`), but not what the worker had started: vLLM's
processes of several ranks notice late or never, and they hold devices without the locks on them, since Python's
multiprocessing closes all descriptors. The guard inherits the locks and gives them back when nobody needs them.
"""

import contextlib
import sys
import time

import psutil

from npu_conformance.storage import JOB_VARIABLE

_PAUSE = 0.5


def main(token: str) -> None:
    """Wait for the end of standard input, which is the end of who holds its other end, then end the job."""
    sys.stdin.buffer.read()
    quiet = 0
    # Twice, for a process that was just being started carries no token yet.
    while quiet < 2:
        quiet = 0 if end_marked(token) else quiet + 1
        time.sleep(_PAUSE)


def end_marked(token: str) -> int:
    """Kill the processes that carry a job's token in their environment, and wait for their end; how many there were."""
    found = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(JOB_VARIABLE) == token:
                found += 1
                process.kill()
                process.wait(10)
    return found


if __name__ == "__main__":
    main(sys.argv[1])
