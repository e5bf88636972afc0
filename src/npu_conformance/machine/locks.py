"""Locks on what is made once for all runs of a machine; who waits for one is told for whom."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from filelock import FileLock, Timeout

from npu_conformance.errors import JobError

PATIENCE = 2.0
"""Seconds of waiting before something is said of it."""
_POLL = 0.5


@contextmanager
def locked(path: Path, doing: str, say: Callable[[str], None], stop: Event | None = None) -> Iterator[None]:
    """Hold a lock, which another run may have for minutes.

    Args:
        path: of the lock file.
        doing: what another run does that holds it: "computes the same reference".
        say: told once who is waited for, when it takes long.
        stop: ends the waiting when it is set.

    Raises:
        JobError: `stop` was set meanwhile.
    """
    lock, told, since = FileLock(path), False, time.monotonic()
    while True:
        if stop is not None and stop.is_set():
            raise JobError(f"{path}: was stopped while another run held it")
        with suppress(Timeout):
            lock.acquire(timeout=_POLL)
            break
        if not told and time.monotonic() - since >= PATIENCE:
            told = True
            say(f"Waiting for another process that {doing} (lock: {path})")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def unless_locked(paths: tuple[Path, ...]) -> Iterator[bool]:
    """Hold some locks if nobody has any of them; yields whether that is so. Nobody has one whose file is not there."""
    held: list[FileLock] = []
    try:
        try:
            for path in filter(Path.exists, paths):
                lock = FileLock(path)
                lock.acquire(timeout=0)
                held.append(lock)
        except (Timeout, OSError):
            yield False
        else:
            yield True
    finally:
        for lock in held:
            lock.release()
