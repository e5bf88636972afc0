"""Devices are lent to one at a time, all at once or none, and come back when their last user is gone."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Queue

import psutil
import pytest

from npu_conformance.errors import ConfigError, PlanError
from npu_conformance.machine import leases
from npu_conformance.machine.devices import Device
from npu_conformance.machine.leases import LOCKS_VARIABLE, Lease, lease, locks_folder

POOL = tuple(Device(str(number), f"davinci{number}") for number in range(4))


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test's own."""
    monkeypatch.setenv(LOCKS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(leases, "_POLL", 0.01)
    return tmp_path


class NotFreeError(Exception):
    """What was asked for was not free."""


def refuse(text: str) -> None:
    """Instead of waiting."""
    raise NotFreeError(text)


def at_once(count: int, holder: str = "one who does not wait", pool: Sequence[Device] = POOL) -> Lease:
    """Devices, given back at once; raises where they are not free."""
    with lease(pool, count, holder, refuse) as lent:
        return lent


@contextmanager
def waiting(count: int, holder: str, pool: Sequence[Device] = POOL) -> Iterator[tuple[threading.Thread, "Queue[str]"]]:
    """Somebody else who asks for devices and tells when he waits and when he has them."""
    told: Queue[str] = Queue()

    def ask() -> None:
        with lease(pool, count, holder, told.put) as lent:
            told.put(" ".join(device.id for device in lent.devices))

    thread = threading.Thread(target=ask)
    thread.start()
    yield thread, told
    thread.join(20)
    assert not thread.is_alive()


def test_nobody_has_what_another_has() -> None:
    """Until the end of the lease."""
    with lease(POOL, 1, "A", refuse) as first, lease(POOL, 3, "B", refuse) as second:
        assert {device.id for device in (*first.devices, *second.devices)} == {"0", "1", "2", "3"}
        with pytest.raises(NotFreeError):
            at_once(1)

    assert at_once(4).devices == POOL


def test_a_request_that_never_can_be_met_is_an_error_at_once() -> None:
    """One line: what is wanted, what there is, what to do."""
    with pytest.raises(PlanError, match=r"Model tp8: needs 8 devices, only these may be used: 0, 1, 2, 3; see NPU_"):
        lease(POOL, 8, "Model tp8", refuse).__enter__()
    with pytest.raises(PlanError, match="needs 1 devices, only these may be used: none; see"):
        lease((), 1, "Model", refuse).__enter__()


def test_no_devices_need_no_lock(tmp_path: Path) -> None:
    """As on a CPU."""
    with lease((), 0, "Model", refuse) as lent:
        assert lent == Lease()

    assert list(tmp_path.iterdir()) == []


def test_all_or_nothing() -> None:
    """Who waits for more than is free holds nothing meanwhile, and is told who has the others."""
    with lease(POOL, 2, "Qwen base", refuse) as lent, pytest.raises(NotFreeError) as caught:
        at_once(3, "GPT base")
    assert str(caught.value).startswith(f"GPT base: waits for 3 of 4 devices; Qwen base (pid {os.getpid()}, since ")
    assert str(caught.value).endswith(" has 0 1")
    assert [device.id for device in lent.devices] == ["0", "1"]
    assert at_once(4).devices == POOL


def test_those_who_come_later_wait_behind_one_who_needs_many() -> None:
    """So he gets them, although enough for them is free all the time."""
    with ExitStack() as small:
        small.enter_context(lease(POOL, 1, "small", refuse))
        with waiting(4, "large") as (large, told):
            assert "large: waits for 4 of 4 devices; small" in told.get(timeout=20)
            for _ in range(20):
                with pytest.raises(NotFreeError, match="first in line is large"):
                    at_once(1, "another small")
            with waiting(1, "next") as (_, told_next):
                assert "next: waits for 1 of 4 devices; first in line is large" in told_next.get(timeout=20)
                assert large.is_alive()
                assert told.empty()
                small.close()
                assert told.get(timeout=20) == "0 1 2 3"


def test_who_waits_keeps_nobody_from_other_devices() -> None:
    """Two users who share a machine but no device; one whose pool holds some of both waits for those before him."""
    others = tuple(Device(str(number), f"davinci{number}") for number in range(4, 8))
    with ExitStack() as small:
        small.enter_context(lease(POOL, 1, "small", refuse))
        with waiting(4, "large") as (_, told):
            assert "small" in told.get(timeout=20)
            assert at_once(4, "neighbour", others).devices == others
            with waiting(1, "between", (*others, *POOL)) as (_, told_between):
                assert "first in line is large" in told_between.get(timeout=20)
                assert told.empty()
                small.close()
                assert told.get(timeout=20) == "0 1 2 3"
                assert told_between.get(timeout=20) == "4"


def test_pools_that_overlap_in_a_ring_do_not_block_one_another() -> None:
    """In whatever order each names its devices: everybody takes his turns in the same."""
    ring = [(POOL[place], POOL[(place + 1) % 4]) for place in range(4)]
    served: Queue[int] = Queue()

    def ask(place: int) -> None:
        for _ in range(25):
            with lease(ring[place], 1 + place % 2, f"at {place}", lambda _: None):
                pass
        served.put(place)

    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in range(4)]
    for thread in threads:
        thread.start()
    assert sorted(served.get(timeout=60) for _ in threads) == [0, 1, 2, 3]


HOLDER = """
    import os, subprocess, sys, time
    from npu_conformance.machine.devices import Device
    from npu_conformance.machine.leases import lease
    pool = [Device(str(number), f"davinci{number}") for number in range(4)]
    with lease(pool, 2, "Model base", print) as lent:
        child = subprocess.Popen(["sleep", "60"], pass_fds=lent.descriptors if sys.argv[1] == "inherits" else ())
        print(child.pid, flush=True)
        time.sleep(60)
"""


@contextmanager
def killed_holder(inherits: bool) -> Iterator[psutil.Process]:
    """The child of a process that had two devices and was killed."""
    code = [sys.executable, "-c", textwrap.dedent(HOLDER), "inherits" if inherits else "does not"]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = psutil.Process(int(holder.stdout.readline()))
        with pytest.raises(NotFreeError, match="Model base"):
            at_once(3)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        try:
            yield child
        finally:
            child.kill()


def test_the_lease_of_a_killed_process_is_free() -> None:
    """Although it could not give it back."""
    with killed_holder(inherits=False):
        assert at_once(4).devices == POOL


def test_a_process_that_inherited_a_lease_keeps_it() -> None:
    """An engine that outlives its pytest uses its devices, whoever is gone."""
    with killed_holder(inherits=True) as engine:
        with pytest.raises(NotFreeError, match="Model base"):
            at_once(3)
        assert at_once(2).devices == POOL[2:]
        engine.kill()
        with lease(POOL, 4, "patient", lambda _: None) as lent:
            assert lent.devices == POOL


def test_who_is_interrupted_while_waiting_leaves_nothing() -> None:
    """Neither his place in the queue nor a device."""
    with lease(POOL, 1, "A", refuse), pytest.raises(NotFreeError):
        at_once(4)
    assert at_once(4).devices == POOL


def test_a_lock_file_that_was_removed_meanwhile_is_no_lock(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opened it before it went locks the new one."""
    at_once(1)
    opened, path = leases._open, locks / "npu-conformance.davinci0"

    def remove_once(wanted: Path) -> int:
        descriptor = opened(wanted)
        if wanted == path:
            path.unlink()
            monkeypatch.setattr(leases, "_open", opened)
        return descriptor

    monkeypatch.setattr(leases, "_open", remove_once)
    with lease(POOL, 1, "A", refuse) as lent:
        assert path.exists()
        assert os.path.samestat(path.stat(), os.fstat(lent.descriptors[0]))


def test_all_users_can_lock(locks: Path) -> None:
    """Whatever umask the first of them had."""
    before = os.umask(0o077)
    try:
        at_once(1)
    finally:
        os.umask(before)

    assert {stat.S_IMODE(file.stat().st_mode) for file in locks.iterdir()} == {0o666}


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder", "fifo"])
def test_what_is_no_lock_file_is_neither_followed_nor_written(locks: Path, kind: str) -> None:
    """In a folder where everybody may put things."""
    precious, path = locks / "precious", locks / "npu-conformance.davinci0"
    precious.write_text("precious")
    match kind:
        case "symlink":
            path.symlink_to(precious)
        case "hard link":
            path.hardlink_to(precious)
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)

    with pytest.raises(ConfigError, match=r"npu-conformance\.davinci0: .*remove it, or set NPU_CONFORMANCE_LOCKS"):
        at_once(1)
    assert precious.read_text() == "precious"


def test_what_a_lock_file_says_is_for_people(locks: Path) -> None:
    """Damaged, or left behind by one who is gone: only the lock counts."""
    (locks / "npu-conformance.davinci0").write_text("{")
    (locks / "npu-conformance.davinci1").write_text(json.dumps(["Gone base", 1, "00:00:00"]))
    assert at_once(4).devices == POOL

    with lease(POOL, 1, "A", refuse):
        (locks / "npu-conformance.davinci0").write_text("{")
        with pytest.raises(NotFreeError, match="somebody has 0"):
            at_once(4)


def test_the_folder_is_this_machines_and_everybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for all users: chosen by its mode, or told."""
    monkeypatch.setenv(LOCKS_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nowhere: no such folder: make it"):
        locks_folder()

    monkeypatch.delenv(LOCKS_VARIABLE)
    private, public = tmp_path / "private", tmp_path / "public"
    for folder, mode in ((private, 0o755), (public, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
    monkeypatch.setattr(leases, "_PLACES", (tmp_path / "missing", private, public))
    assert locks_folder() == public
    monkeypatch.setattr(leases, "_PLACES", (private,))
    with pytest.raises(ConfigError, match="can be written by all: set NPU_CONFORMANCE_LOCKS"):
        locks_folder()
