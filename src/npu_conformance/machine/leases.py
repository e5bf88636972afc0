"""Devices of a machine lent to one engine at a time, among processes that know nothing of one another.

A lease is a `flock` on a file a device. The lock belongs to the open file, which the engine's processes inherit, and
the kernel drops it when the last of them is gone, however it went. That is why this is not filelock: its descriptor is
its own process's, so an engine that outlives its pytest would hold its devices unseen.

Whoever wants devices takes all at once or none, so nobody holds some while waiting for others. Before that he waits for
his turn at every device of his pool, in one order that all share, so nobody waits in a circle: whoever asks for
devices of one pool is served in the order of asking, and one who needs many gets them while others keep asking for
few. Those who have no device in common do not wait for one another, unless through somebody whose pool holds some of
both.

Files are never removed: who is about to lock one would lock what nobody else finds.
"""

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.errors import ConfigError, PlanError
from npu_conformance.machine.devices import POOL_VARIABLE, Device

LOCKS_VARIABLE = "NPU_CONFORMANCE_LOCKS"
"""Folder of the lock files: to share devices with other containers, one that all of them mount."""
# Of this machine and the same for all its users, best first: a restart alone empties the first; from the second logind
# may take a user's files when they log out (RemoveIPC), from the third what has been there for days is tidied away. The
# cache is no place for them: it may be on a disk that machines share.
_PLACES = (Path("/run/lock"), Path("/dev/shm"), Path("/tmp"))  # noqa: S108 (see `_open`)
_PREFIX = "npu-conformance."
_TURN = "turn."
_POLL = 0.1
_REMEDY = f"all who share devices must be able to write it: remove it, or set {LOCKS_VARIABLE} to another folder"


@dataclass(frozen=True)
class Lease:
    """Devices that are lent."""

    devices: tuple[Device, ...] = ()
    descriptors: tuple[int, ...] = ()
    """The open lock files; who inherits one keeps the lease."""


@contextmanager
def lease(pool: Sequence[Device], count: int, holder: str, say: Callable[[str], None]) -> Iterator[Lease]:
    """Devices of a pool, lent until the end of the context and of all processes that inherited its descriptors.

    Args:
        pool: what may be lent.
        count: how many; of none nothing is asked.
        holder: for whom, for the people who wait.
        say: told what is waited for, when there is something.

    Raises:
        PlanError: the pool is too small.
        ConfigError: there is no folder for locks, or one of them cannot be used.
    """
    if count > len(pool):
        ids = ", ".join(device.id for device in pool) or "none"
        raise PlanError(f"{holder}: needs {count} devices, only these may be used: {ids}; see {POOL_VARIABLE}")
    with ExitStack() as held:
        taken = _take(pool, count, holder, say) if count else {}
        for descriptor in taken.values():
            # Closed and not unlocked, which would unlock it for those who inherited it.
            held.callback(os.close, descriptor)
        yield Lease(tuple(taken), tuple(taken.values()))


def locks_folder() -> Path:
    """Where the lock files are.

    Raises:
        ConfigError: nowhere.
    """
    if chosen := os.environ.get(LOCKS_VARIABLE):
        folder = Path(chosen)
        if not folder.is_dir():
            raise ConfigError(f"{LOCKS_VARIABLE}={chosen}: no such folder: make it, writable by all who share devices")
        return folder
    for place in _PLACES:
        # By its mode and not by what this user may do, or two users would choose two places.
        if place.is_dir() and stat.S_IMODE(place.stat().st_mode) & 0o1777 == 0o1777:
            return place
    raise ConfigError(f"none of {', '.join(map(str, _PLACES))} can be written by all: set {LOCKS_VARIABLE} to a folder")


def _take(pool: Sequence[Device], count: int, holder: str, say: Callable[[str], None]) -> dict[Device, int]:
    """Devices with their locks, as soon as there are as many free at once and those who came before have theirs."""
    folder = locks_folder()
    wanted = f"{holder}: waits for {count} of {len(pool)} devices"
    with _turn(folder, pool, holder, lambda first: say(f"{wanted}; first in line is {first}")):
        told = False
        while len(taken := _all_or_none(folder, pool, count)) < count:
            if not told:
                told = True
                say(f"{wanted}; {_holders(folder, [device for device in pool if device not in taken])}")
            time.sleep(_POLL)
        for descriptor in taken.values():
            _sign(descriptor, holder)
        return taken


def _all_or_none(folder: Path, pool: Sequence[Device], count: int) -> dict[Device, int]:
    """Devices with their locks; where they are fewer than `count`, they were free and none is locked any more."""
    with ExitStack() as taking:
        taken: dict[Device, int] = {}
        for device in pool:
            if len(taken) < count and (descriptor := _try_lock(_file(folder, device.name))) is not None:
                taking.callback(os.close, descriptor)
                taken[device] = descriptor
        if len(taken) == count:
            taking.pop_all()
    return taken


@contextmanager
def _turn(folder: Path, pool: Sequence[Device], holder: str, waits: Callable[[str], None]) -> Iterator[None]:
    """First in line for every device of a pool within it."""
    told = False
    with ExitStack() as turns:
        for name in sorted({device.name for device in pool}):
            path = _file(folder, f"{_TURN}{name}")
            descriptor = _try_lock(path)
            if descriptor is None:
                if not told:
                    told = True
                    waits(_signed(path))
                # Those who sleep in `flock` are woken in the order in which they came, since Linux 5.0.
                descriptor = _lock(path, fcntl.LOCK_EX)
            turns.callback(os.close, descriptor)
            _sign(descriptor, holder)
        yield


def _file(folder: Path, name: str) -> Path:
    return folder / f"{_PREFIX}{name}"


def _try_lock(path: Path) -> int | None:
    with suppress(BlockingIOError):
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return None


def _lock(path: Path, how: int) -> int:
    """An open and locked file."""
    while True:
        with ExitStack() as opening:
            descriptor = _open(path)
            opening.callback(os.close, descriptor)
            fcntl.flock(descriptor, how)
            # Somebody may have tidied up between opening and locking.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                opening.pop_all()
                return descriptor


def _open(path: Path) -> int:
    """A lock file of any user's, made if there is none.

    In a folder that all may write to somebody could have put a link there: it is not followed, and what is written
    does not go into another file. Linux refuses O_CREAT there for a file of another user's (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            with suppress(FileExistsError):
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                os.fchmod(descriptor, 0o666)  # whatever the umask is
                os.close(descriptor)
            continue
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}: {_REMEDY}") from error
        state = os.fstat(descriptor)
        if stat.S_ISREG(state.st_mode) and state.st_nlink <= 1:
            return descriptor
        os.close(descriptor)
        raise ConfigError(f"{path}: is not a regular file, or has several hard links: {_REMEDY}")


def _sign(descriptor: int, holder: str) -> None:
    """Say in a lock file who holds it. For people: whether it is held only the lock itself tells."""
    # Written in place: a new file in its stead would be another lock.
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps([holder, os.getpid(), time.strftime("%H:%M:%S")]).encode(), 0)


def _signed(path: Path) -> str:
    try:
        holder, pid, since = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return "somebody"
    return f"{holder} (pid {pid}, since {since})"


def _holders(folder: Path, taken: Sequence[Device]) -> str:
    """Who has which devices."""
    ids: dict[str, list[str]] = {}
    for device in taken:
        ids.setdefault(_signed(_file(folder, device.name)), []).append(device.id)
    return ", ".join(f"{who} has {' '.join(of)}" for who, of in ids.items())
