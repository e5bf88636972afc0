"""Converting a checkpoint: an interruption leaves nothing half-written, and no work is done twice or over another's."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from npu_conformance.checkpoints.headers import read_header
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.conversion import convert as module
from npu_conformance.conversion.convert import convert
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.quantised_checkpoints import (
    COUNTER,
    DOWN,
    EMBEDDING,
    NORM,
    UP,
    dequantised,
    edit_tensors,
    load_all,
    record_of,
    save_fp8,
    unwatched,
)


class StopError(Exception):
    """To the code under test what Ctrl-C is to a program."""


def interrupt(_name: str, done: int, _count: int) -> None:
    """Progress that ends the conversion while the fourth of five tensors is written."""
    if done == 4:
        raise StopError


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """About a tensor in each."""
    monkeypatch.setattr(module, "_SHARD_BYTES", 3000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint in block FP8."""
    return save_fp8(tmp_path / "source")


class Interrupted(NamedTuple):
    """A conversion that was begun and not finished."""

    source: Path
    destination: Path
    stage: Path


@pytest.fixture
def interrupted(source: Path, tmp_path: Path) -> Interrupted:
    """One of which some shards are there."""
    with pytest.raises(StopError):
        convert(source, tmp_path / "out", None, interrupt)
    return Interrupted(source, tmp_path / "out", tmp_path / "out.partial")


def shards(folder: Path) -> list[Path]:
    """The finished weights' files of a folder."""
    return sorted(folder.glob("*.safetensors"))


def test_it_goes_on_where_it_was(interrupted: Interrupted) -> None:
    """Finished shards are the same files afterwards; nothing is at the destination before all is."""
    import torch

    source, destination, stage = interrupted
    finished = {file.name: file.stat() for file in shards(stage)}
    kept = {name for file in shards(stage) for name in read_header(file)}
    (stage / f".{shards(stage)[0].name}.123.tmp").write_text("what a killed process leaves")
    assert not destination.exists()
    seen: list[tuple[str, int, int]] = []

    convert(source, destination, None, lambda *step: seen.append(step))

    redone = {name for name, _, _ in seen}
    assert kept
    assert redone
    assert not kept & redone
    assert kept | redone == {EMBEDDING, NORM, COUNTER, UP, DOWN}
    assert [done for _, done, _ in seen] == list(range(len(kept) + 1, 6))
    for file, state in finished.items():
        now = (destination / file).stat()
        assert (now.st_ino, now.st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
    assert not stage.exists()
    assert not list(destination.glob(".*"))
    after = load_all(destination)
    for name in (UP, DOWN):
        assert torch.equal(after[name], dequantised(source, name).to(torch.bfloat16))
    assert record_of(destination)["total"]["weights"] == 2
    index = json.loads((destination / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: file.name for file in shards(destination) for name in read_header(file)}
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in after.values())
    inspect(destination)


def test_a_shard_that_was_removed_is_made_again(interrupted: Interrupted) -> None:
    """The record alone is not believed."""
    shards(interrupted.stage)[0].unlink()

    convert(interrupted.source, interrupted.destination, None, unwatched)

    assert set(load_all(interrupted.destination)) == {EMBEDDING, NORM, COUNTER, UP, DOWN}
    entries = [entry["name"] for account in record_of(interrupted.destination)["shards"].values() for entry in account]
    assert sorted(entries) == sorted([UP, DOWN])


def touch(source: Path) -> None:
    """The weights are written again, with other values under the same header."""
    edit_tensors(source, lambda tensors: tensors[NORM].add_(1))


@pytest.mark.parametrize(
    ("edit", "dtype", "message"),
    [
        (lambda _: None, "float16", "had another dtype: delete it"),
        (touch, None, "had another source_digest: delete it"),
    ],
)
def test_shards_of_another_conversion_are_not_mixed_in(
    interrupted: Interrupted, edit: Callable[[Path], None], dtype: Any, message: str
) -> None:
    """Of other weights, or with other options."""
    edit(interrupted.source)
    before = shards(interrupted.stage)

    with pytest.raises(CheckpointError, match=f"out.partial: the conversion begun there {message}"):
        convert(interrupted.source, interrupted.destination, dtype, unwatched)

    assert shards(interrupted.stage) == before


def test_a_folder_of_something_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    """Whatever its name."""
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "notes.txt").write_text("mine")

    with pytest.raises(CheckpointError, match=r"out\.partial: holds something else than a conversion"):
        convert(source, tmp_path / "out", None, unwatched)

    assert [path.name for path in (tmp_path / "out.partial").iterdir()] == ["notes.txt"]


def test_a_destination_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    """Not even an empty folder, or one that appears meanwhile."""
    (tmp_path / "out").mkdir()

    with pytest.raises(CheckpointError, match="out: is there already and is not overwritten"):
        convert(source, tmp_path / "out", None, unwatched)
    with pytest.raises(CheckpointError, match="late: is there already and is not overwritten"):
        convert(source, tmp_path / "late", None, lambda *_: (tmp_path / "late").mkdir(exist_ok=True))

    assert not list((tmp_path / "out").iterdir())
    assert not list((tmp_path / "late").iterdir())


def test_the_destination_is_not_inside_the_source(source: Path) -> None:
    """The copy would copy itself."""
    with pytest.raises(CheckpointError, match="out: is inside the source"):
        convert(source, source / "out", None, unwatched)


def test_two_at_a_time_do_not_write_to_one_place(interrupted: Interrupted) -> None:
    """The second is told; the first one's files stay."""
    (interrupted.stage / ".half").write_text("the first one's")
    handle = os.open(interrupted.stage, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    with pytest.raises(CheckpointError, match=r"out\.partial: another process is converting to here"):
        convert(interrupted.source, interrupted.destination, None, unwatched)
    os.close(handle)

    assert (interrupted.stage / ".half").exists()


def test_a_disk_that_is_too_small_is_seen_before_the_start(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is needed and what is free."""

    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(5000))

    with pytest.raises(CheckpointError, match=r"out\.partial: 0\.0 GB are needed, 0\.0 GB are free: make room"):
        convert(source, tmp_path / "out", None, unwatched)

    assert shards(tmp_path / "out.partial") == []


def test_a_disk_that_fills_up_is_one_line(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was done is kept."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_shard", full)

    with pytest.raises(CheckpointError, match=r"out\.partial: cannot be written \(.*No space left on device\)"):
        convert(source, tmp_path / "out", None, unwatched)

    assert not (tmp_path / "out").exists()
