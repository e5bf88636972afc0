"""What the cache holds, and what goes first when it is too large."""

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from npu_conformance.errors import ConfigError
from npu_conformance.machine.cache import (
    LIMIT_VARIABLE,
    Entry,
    beyond,
    find_entries,
    parse_size,
    reference_limit,
    remove,
    size_text,
    touch,
    trim_references,
)

NOW = time.time()


def current(kind: str, name: str) -> bool:
    """What today's code makes ends with -v3."""
    return kind == "twins" or name.endswith("-v3")


def put(path: Path, size: int = 100, age: float = 0) -> Path:
    """A file of the cache, used so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age, NOW - age))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """References of two models and of older code, scans, a twin, and what is no entry."""
    for name, age in (("a", 30), ("b", 20), ("c", 10)):
        put(tmp_path / "references" / "one-v3" / f"{name}.npz", age=age)
    put(tmp_path / "references" / "two-v3" / "d.npz", age=40)
    put(tmp_path / "references" / "one-v2" / "e.npz", age=1)
    put(tmp_path / "references" / "f.npy", age=2)
    put(tmp_path / "references" / "two-v3" / ".d.npz.123.x")
    for name in ("one-v3", "two-v3", "one-v2", "one"):
        put(tmp_path / "references" / f"{name}.lock", 0)
    put(tmp_path / "scans" / "s-v3.json")
    put(tmp_path / "scans" / "s-v2.json")
    put(tmp_path / "scans" / "s-v3.lock", 0)
    put(tmp_path / "twins" / "qwen3.5-abc" / "twin.json", 300)
    put(tmp_path / "twins" / "baselines" / "Model" / "cpu.json")
    return tmp_path


def names(entries: list[Entry]) -> list[str]:
    """Their files'."""
    return [entry.path.name for entry in entries]


def test_entries_are_found_by_kind(cache: Path) -> None:
    """Locks, what is half written, and the twins' baselines are none; what other code made is told."""
    found = list(find_entries(cache, current))

    assert sorted(names(found)) == [
        *("a.npz", "b.npz", "c.npz", "d.npz", "e.npz", "f.npy", "qwen3.5-abc", "s-v2.json", "s-v3.json"),
    ]
    assert sorted(names([one for one in found if one.outdated])) == ["e.npz", "f.npy", "s-v2.json"]
    twin = next(one for one in found if one.kind == "twins")
    assert (twin.size, twin.locks) == (300, (cache / "twins" / "qwen3.5-abc.lock",))
    assert next(one for one in found if one.path.name == "a.npz").locks == (cache / "references" / "one-v3.lock",)
    assert cache / "references" / "one.lock" in next(one for one in found if one.path.name == "f.npy").locks


def test_other_codes_go_first_then_the_least_recently_used(cache: Path) -> None:
    """And no more than must."""
    entries = [one for one in find_entries(cache, current) if one.kind == "references"]

    assert names(beyond(entries, 600)) == []
    assert names(beyond(entries, 500)) == ["f.npy"]
    assert names(beyond(entries, 250)) == ["f.npy", "e.npz", "d.npz", "a.npz"]


def test_the_limit_spares_what_the_run_used(cache: Path) -> None:
    """Whatever its size; an entry that was read again counts as used."""
    touch(cache / "references" / "one-v3" / "a.npz")

    removed = trim_references(cache, 0, NOW - 15, current)

    # e and f are of other code, yet were used a moment ago.
    assert sorted(path.name for path in (cache / "references").glob("*-v3/*.npz")) == ["a.npz", "c.npz"]
    assert removed == (2, 200, 0)
    assert (cache / "scans" / "s-v2.json").exists()
    assert not (cache / "references" / "two-v3" / "d.npz").exists()


def test_nothing_goes_while_a_lock_is_held_on_it(cache: Path) -> None:
    """A run scores with these weights; what other weights have goes."""
    with FileLock(cache / "references" / "one-v3.lock"):
        removed = trim_references(cache, 0, NOW + 60, current)

    left = sorted(path.name for path in (cache / "references").rglob("*.np*") if not path.name.startswith("."))
    assert left == ["a.npz", "b.npz", "c.npz", "f.npy"]
    assert removed == (2, 200, 4)


def test_what_was_used_since_it_was_listed_stays(cache: Path) -> None:
    """Another process read it meanwhile."""
    entries = [one for one in find_entries(cache, current) if one.path.name == "a.npz"]
    touch(entries[0].path)

    assert remove(entries) == (0, 0, 1)


def test_a_folder_goes_whole(cache: Path) -> None:
    """A twin; lock files stay, and baselines."""
    put(cache / "twins" / "qwen3.5-abc.lock", 0)

    assert remove(one for one in find_entries(cache, current) if one.kind == "twins") == (1, 300, 0)
    assert sorted(path.name for path in (cache / "twins").iterdir()) == ["baselines", "qwen3.5-abc.lock"]


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 tb", 1_500_000_000_000), ("500M", None), ("0", 0), ("10", 10)]
)
def test_sizes(text: str, size: int | None) -> None:
    """As people write them; one of an unknown unit is refused."""
    if size is None:
        with pytest.raises(ConfigError, match="X: '500M' is not a size"):
            parse_size(text, "X")
    else:
        assert parse_size(text, "X") == size


def test_the_limit_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 GB where it has none."""
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    assert size_text(reference_limit()) == "20.0 GB"
    monkeypatch.setenv(LIMIT_VARIABLE, "750 MB")
    assert size_text(reference_limit()) == "750.0 MB"
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(ConfigError, match="NPU_CONFORMANCE_CACHE_LIMIT: 'much' is not a size"):
        reference_limit()
