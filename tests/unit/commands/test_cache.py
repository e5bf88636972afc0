"""`npu-conformance dev cache`: shows, and prunes what it was told to."""

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from npu_conformance.__main__ import main
from npu_conformance.run.made_by import cached_at


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with an entry of each age; 1,000 bytes each."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NPU_CONFORMANCE_CACHE_LIMIT", raising=False)
    for number, (path, days) in enumerate(
        [
            (cached_at("references", "weights") / "new.npz", 0),
            (cached_at("references", "weights") / "old.npz", 40),
            (tmp_path / "cache" / "references" / "older_code.npy", 0),
            (cached_at("scans", "key").with_suffix(".json"), 10),
            (tmp_path / "cache" / "scans" / "older_code.json", 0),
            (tmp_path / "cache" / "reference-python" / "abc" / "python", 400),
        ]
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
        when = time.time() - days * 86_400 - 60 - number
        os.utime(path, (when, when))
    return tmp_path / "cache"


def left(cache: Path) -> set[str]:
    """Names of what is there, without the mark of the code."""
    return {path.name.partition("-")[0] for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_what_is_there_is_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By kind, with what older code made; nothing is removed."""
    assert main(["dev", "cache"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{cache}: 6.0 KB"
    shown = {line.split()[0]: line.split()[1:6] for line in lines[2:]}
    assert shown["references"] == ["3", "3.0", "KB", "1.0", "KB"]
    assert shown["scans"] == ["2", "2.0", "KB", "1.0", "KB"]
    assert shown["reference-python"][3:] == ["not", "known"]
    assert lines[-1] == "Limit of references: 20.0 GB (NPU_CONFORMANCE_CACHE_LIMIT)"
    assert len(left(cache)) == 6


def test_pruning_removes_what_older_code_made(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else."""
    assert main(["dev", "cache", "--prune"]) == 0

    assert left(cache) == {"new.npz", "old.npz", "key", "python"}
    assert capsys.readouterr().out == f"{cache}: removed 2 entries, 2.0 KB\n"


def test_pruning_by_age(cache: Path) -> None:
    """The interpreter stays: only a person makes it again."""
    assert main(["dev", "cache", "--prune", "--older-than", "30"]) == 0

    assert left(cache) == {"new.npz", "key", "python"}


def test_pruning_to_a_size(cache: Path) -> None:
    """The least recently used go until it fits."""
    assert main(["dev", "cache", "--prune", "--to", "1KB"]) == 0

    assert left(cache) == {"new.npz", "python"}


def test_what_is_in_use_stays(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And it is said."""
    place = cached_at("references", "weights")
    with FileLock(place.with_name(f"{place.name}.lock")):
        assert main(["dev", "cache", "--prune", "--to", "0"]) == 0

    assert left(cache) == {"new.npz", "old.npz", "older_code.npy", "python"}
    assert "3 stay, because a run is using them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "1GB"], "add --prune"),
        (["--older-than", "3"], "add --prune"),
        (["--prune", "--to", "all"], "--to: 'all' is not a size"),
        (["--prune", "--older-than", "-1"], "must be 0 days or more"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_options_that_make_no_sense(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and exit status 4."""
    assert main(["dev", "cache", *words]) == 4
    assert told in capsys.readouterr().err


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Or none."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "none"))

    assert main(["dev", "cache"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'none'}: empty\n"
