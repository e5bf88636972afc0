"""Who waits for a lock is told for whom, once; and what is locked is left alone."""

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from npu_conformance.errors import JobError
from npu_conformance.machine import locks
from npu_conformance.machine.locks import locked, unless_locked


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests need not wait for seconds."""
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    monkeypatch.setattr(locks, "_POLL", 0.05)


def test_who_waits_is_told_once(tmp_path: Path) -> None:
    """With the file, so that one can see who has it; and gets it in the end."""
    told: list[str] = []
    path = tmp_path / "a.lock"
    held = FileLock(path, thread_local=False)
    held.acquire()
    threading.Timer(0.5, held.release).start()

    with locked(path, "computes the same reference", told.append):
        assert told == [f"Waiting for another process that computes the same reference (lock: {path})"]


def test_who_need_not_wait_is_told_nothing(tmp_path: Path) -> None:
    """Nor is a short wait spoken of."""
    with locked(tmp_path / "a.lock", "does it", pytest.fail):
        pass


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    """Whatever went wrong inside."""
    path = tmp_path / "a.lock"

    def fail() -> None:
        with locked(path, "does it", pytest.fail):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    FileLock(path).acquire(timeout=0).lock.release()


def test_waiting_can_be_stopped(tmp_path: Path) -> None:
    """By an interrupt, which reaches another thread."""
    stop, started = threading.Event(), time.monotonic()
    threading.Timer(0.2, stop.set).start()

    with FileLock(tmp_path / "a.lock"), pytest.raises(JobError, match="was stopped while another run held it"):  # noqa: SIM117
        with locked(tmp_path / "a.lock", "does it", lambda _: None, stop):
            pytest.fail("got it")
    assert time.monotonic() - started < 5


def test_all_locks_or_none(tmp_path: Path) -> None:
    """One that somebody has is enough; one that nobody ever made is not made for this."""
    mine, theirs, none = (tmp_path / name for name in ("mine.lock", "theirs.lock", "none.lock"))
    mine.touch()
    with FileLock(theirs), unless_locked((mine, theirs)) as free:
        assert not free
    with unless_locked((mine, theirs, none)) as free:
        assert free
    assert not none.exists()
    FileLock(mine).acquire(timeout=0).lock.release()
