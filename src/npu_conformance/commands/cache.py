"""`npu-conformance dev cache`: what the cache holds, and removing what is not used any more."""

import time
from pathlib import Path

from npu_conformance.errors import ConfigError
from npu_conformance.machine.cache import (
    KEPT,
    LIMIT_VARIABLE,
    MARKED,
    Entry,
    beyond,
    find_entries,
    parse_size,
    reference_limit,
    remove,
    size_text,
)
from npu_conformance.machine.storage import cache_dir
from npu_conformance.run.made_by import is_current

_DAY = 86_400


def cache(*, prune: bool, older_than: float | None, to: str | None) -> int:
    """Print what the cache holds, or prune it.

    Raises:
        ConfigError: the options make no sense.
    """
    if not prune and (older_than is not None or to is not None):
        raise ConfigError("--older-than and --to say what --prune removes: add --prune")
    if older_than is not None and not older_than >= 0:
        raise ConfigError(f"--older-than {older_than:g}: must be 0 days or more")
    size = None if to is None else parse_size(to, "--to")
    folder = cache_dir()
    if prune:
        _prune(folder, older_than, size)
    else:
        _show(folder)
    return 0


def _show(folder: Path) -> None:
    entries = list(find_entries(folder, is_current))
    if not entries:
        print(f"{folder}: empty")
        return
    print(f"{folder}: {size_text(sum(entry.size for entry in entries))}")
    print(f"{'kind':<18}{'entries':>8}{'size':>12}{'of older code':>15}  last used")
    for kind in dict.fromkeys(entry.kind for entry in entries):
        of_kind = [entry for entry in entries if entry.kind == kind]
        old = size_text(sum(entry.size for entry in of_kind if entry.outdated)) if _told(kind) else "not known"
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(entry.used for entry in of_kind)))
        size = size_text(sum(entry.size for entry in of_kind))
        print(f"{kind:<18}{len(of_kind):>8}{size:>12}{old:>15}  {used}")
    print(f"Limit of references: {size_text(reference_limit())} ({LIMIT_VARIABLE})")


def _told(kind: str) -> bool:
    """Whether an entry's name says which code made it."""
    return kind == "references" or kind in MARKED


def _prune(folder: Path, older_than: float | None, size: int | None) -> None:
    entries = [entry for entry in find_entries(folder, is_current) if entry.kind not in KEPT]
    chosen = [entry for entry in entries if entry.outdated or _older(entry, older_than)]
    if size is not None:
        rest = [entry for entry in entries if entry not in chosen]
        chosen += beyond(rest, size)
    removed = remove(chosen)
    print(f"{folder}: removed {removed.entries} entries, {size_text(removed.size)}" + _stayed(removed.in_use))


def _older(entry: Entry, days: float | None) -> bool:
    return days is not None and time.time() - entry.used > days * _DAY


def _stayed(in_use: int) -> str:
    return f"; {in_use} stay, because a run is using them" if in_use else ""
