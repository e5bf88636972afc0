"""What the cache holds, what of it was used when, and how it is made smaller without harm to runs that go on.

An entry goes only while nobody holds a lock that stands for it. Lock files stay: who is about to lock one would
otherwise lock what nobody else finds. Runs' traces are links to entries or copies of them, so they outlive them.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from npu_conformance.errors import ConfigError
from npu_conformance.machine.locks import unless_locked

LIMIT_VARIABLE = "NPU_CONFORMANCE_CACHE_LIMIT"
DEFAULT_LIMIT = "20GB"
"""Of the references."""
REFERENCES, CONVERTED, SCANS, AUDITS = "references", "converted", "scans", "audits"
MARKED = (CONVERTED, SCANS, AUDITS)
"""Kinds whose names end with a mark of the code that made them."""
KEPT = ("reference-python",)
"""What only a person makes again, and is never removed here."""
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Entry:
    """Something that is in the cache: a file or a folder."""

    kind: str
    """Name of the cache's folder that it is in."""
    path: Path
    size: int
    """In bytes."""
    used: float
    """When it was used last, in seconds since the epoch."""
    locks: tuple[Path, ...]
    """Lock files, of which one is held while it is made or used."""
    outdated: bool
    """Whether other code made it, so that nothing uses it any more."""


class Removed(NamedTuple):
    """What became of entries that were to go."""

    entries: int
    size: int
    """In bytes."""
    in_use: int
    """Entries that stayed, for somebody holds their lock."""


def parse_size(text: str, source: str) -> int:
    """Bytes of a size such as 20GB, 500 MB or 1.5TB.

    Args:
        text: the size.
        source: what says it, for the message.

    Raises:
        ConfigError: it is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", text.upper())
    if found is None or found[2] not in _UNITS:
        raise ConfigError(f"{source}: {text!r} is not a size: write a number with MB, GB or TB, such as 20GB")
    return int(float(found[1]) * _UNITS[found[2]])


def size_text(size: int) -> str:
    """A size for people."""
    unit = next((name for name in ("GB", "MB", "KB") if size >= _UNITS[name]), "B")
    return f"{size / _UNITS[unit]:.1f} {unit}" if unit != "B" else f"{size} B"


def reference_limit() -> int:
    """Bytes that the references may take (see `parse_size` for what it raises)."""
    return parse_size(os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT, LIMIT_VARIABLE)


def touch(path: Path) -> None:
    """Say that an entry is used now; of another user's, whose cache may be shared, nothing is said."""
    with suppress(OSError):
        os.utime(path)


def lock_of(path: Path) -> Path:
    """The lock file of an entry, or of a folder of entries."""
    return path.with_name(f"{path.name if path.is_dir() or not path.suffix else path.stem}.lock")


def find_entries(cache: Path, current: Callable[[str, str], bool]) -> Iterator[Entry]:
    """All entries of a cache.

    Args:
        cache: its folder.
        current: whether today's code makes an entry of such a kind and name; of a reference, the folder's name.
    """
    for place in sorted(path for path in cache.glob("*") if path.is_dir()):
        kind = place.name
        # What lies beside the folders of references older code left; any of its locks may stand for it.
        older = tuple(sorted(place.glob("*.lock"))) if kind == REFERENCES else ()
        for path in sorted(place.glob("*")):
            if path.name.startswith(".") or path.suffix == ".lock" or (kind == "twins" and path.name == "baselines"):
                continue
            if kind == REFERENCES and path.is_dir():
                mine = current(kind, path.name)
                files = (one for one in sorted(path.glob("*")) if not one.name.startswith("."))
                yield from (found for one in files if (found := _entry(kind, one, (lock_of(path),), not mine)))
            else:
                locks = older if kind == REFERENCES else (lock_of(path),)
                old = kind == REFERENCES or (kind in MARKED and not current(kind, path.stem))
                if (found := _entry(kind, path, locks, old)) is not None:
                    yield found


def _entry(kind: str, path: Path, locks: tuple[Path, ...], outdated: bool) -> Entry | None:
    try:
        state = path.stat()
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        size = sum(one.lstat().st_size for one in files)
    except OSError:
        return None  # gone meanwhile
    return Entry(kind, path, size, state.st_mtime, locks, outdated)


def beyond(entries: Iterable[Entry], size: int) -> list[Entry]:
    """What must go so that the rest takes so many bytes at most: what other code made, then the least recently used."""
    ordered = sorted(entries, key=lambda entry: (not entry.outdated, entry.used))
    excess = sum(entry.size for entry in ordered) - size
    chosen = []
    for entry in ordered:
        if excess <= 0:
            break
        chosen.append(entry)
        excess -= entry.size
    return chosen


def remove(entries: Iterable[Entry]) -> Removed:
    """Remove entries that nobody holds a lock of, or has used since they were listed."""
    gone = size = in_use = 0
    for entry in entries:
        with unless_locked(entry.locks) as free:
            try:
                if not free or entry.path.stat().st_mtime > entry.used:
                    in_use += 1
                    continue
                _delete(entry.path)
            except OSError:
                continue  # somebody else was first, or it is another user's
            gone, size = gone + 1, size + entry.size
    return Removed(gone, size, in_use)


def _delete(path: Path) -> None:
    """A folder is moved aside first, so that nobody finds half of it."""
    if path.is_dir():
        aside = path.rename(path.with_name(f".{path.name}.removed"))
        shutil.rmtree(aside, ignore_errors=True)
        return
    path.unlink()
    if path.parent.parent.name == REFERENCES:
        with suppress(OSError):
            path.parent.rmdir()  # the last one was it


def trim_references(cache: Path, limit: int, since: float, current: Callable[[str, str], bool]) -> Removed:
    """Bring the references down to a limit.

    Args:
        cache: folder of the cache.
        limit: in bytes.
        since: what was used after this is needed by the run that asks, and stays.
        current: see `find_entries`.
    """
    entries = [entry for entry in find_entries(cache, current) if entry.kind == REFERENCES]
    return remove(entry for entry in beyond(entries, limit) if entry.used < since)
