"""Nothing half-written is left or found."""

from pathlib import Path

import pytest

from npu_conformance.machine.storage import (
    cache_dir,
    digest,
    run_folder,
    staged_dir,
    staged_file,
    write_json,
    write_text,
)


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    """It is no JSON."""
    path = tmp_path / "file"
    write_text(path, "old")

    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    with pytest.raises(TypeError), staged_file(path) as file:
        file.write("new")  # type: ignore[call-overload]

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_staged_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """An exception in the middle leaves nothing."""
    target = tmp_path / "target"

    def fill_and_fail() -> None:
        with staged_dir(target) as stage:
            (stage / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill_and_fail()
    assert list(tmp_path.iterdir()) == []

    with staged_dir(target) as stage:
        (stage / "whole").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_the_first_to_finish_a_folder_wins(tmp_path: Path) -> None:
    """Two made the same thing; the second one's goes away."""
    target = tmp_path / "target"
    with staged_dir(target) as slow:
        (slow / "slow").write_text("x")
        with staged_dir(target) as quick:
            (quick / "quick").write_text("x")

    assert [path.name for path in target.iterdir()] == ["quick"]
    assert list(tmp_path.iterdir()) == [target]


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our variable, then XDG's, then the home folder."""
    monkeypatch.delenv("NPU_CONFORMANCE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == Path("~/.cache/npu-conformance").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_dir() == Path("/x/npu-conformance")
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", "/y")
    assert cache_dir() == Path("/y")


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """Also those of one process."""
    folders = []
    for _ in range(4):
        folders.append(run_folder(tmp_path, "bisect-Model"))
        folders[-1].mkdir()

    assert len(set(folders)) == 4
    assert all(folder.name.endswith("-bisect-Model") for folder in folders)


def test_digests_ignore_key_order_only() -> None:
    """They are cache keys."""
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
