"""The folder a conversion is made in: what is not its own is never deleted, and shards are held to their digests."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.conversion.stage import RECORD, Identity, find_record, open_stage
from npu_conformance.errors import CheckpointError

SHARD = "model.safetensors"
IDENTITY = Identity(
    source="/source", source_digest="d", scheme="fp8", options={"a": [1]}, dtype="bfloat16", left_out=[], versions={}
)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with one finished shard."""
    folder = tmp_path / "out.partial"
    with open_stage(folder, IDENTITY, [SHARD]) as stage:
        (folder / SHARD).write_bytes(b"weights")
        stage.finish(SHARD, [{"name": "w"}])
    return folder


def kept(folder: Path) -> set[str]:
    """The shards that another process need not write."""
    with open_stage(folder, IDENTITY, [SHARD]) as stage:
        return set(stage.record.shards)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_shard_is_kept(begun: Path) -> None:
    """As long as its bytes are those that were written."""
    assert kept(begun) == {SHARD}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda shard: shard.write_bytes(b"weight"), id="cut off"),
        pytest.param(lambda shard: shard.write_bytes(b"weighty"), id="another byte"),
        pytest.param(lambda shard: shard.unlink(), id="gone"),
        pytest.param(lambda shard: (shard.rename(shard.parent / "x"), shard.symlink_to("x")), id="a link"),
    ],
)
def test_a_shard_that_changed_is_written_again(begun: Path, damage: Callable[[Path], object]) -> None:
    """Its name alone is not believed."""
    damage(begun / SHARD)

    assert kept(begun) == set()


@pytest.mark.parametrize("name", [".hidden", "notes.txt", ".model.safetensors.1.x", "sub"])
def test_a_folder_without_a_record_is_not_touched(tmp_path: Path, name: str) -> None:
    """Hidden files are somebody's too."""
    folder = tmp_path / "out.partial"
    folder.mkdir()
    (folder / name).write_text("mine")
    if name.startswith(".model"):
        (folder / "other").write_text("mine")
    before = contents(folder)

    with pytest.raises(CheckpointError, match=r"out\.partial: holds something else than a conversion: move it away"):
        kept(folder)

    assert contents(folder) == before


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whatever it leads to, an empty folder too."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.partial").symlink_to("elsewhere")

    with pytest.raises(CheckpointError, match=r"out\.partial: is no folder of a conversion: move it away"):
        kept(tmp_path / "out.partial")

    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_of_that_name_is_refused(tmp_path: Path) -> None:
    """As it is no folder."""
    (tmp_path / "out.partial").write_text("mine")

    with pytest.raises(CheckpointError, match="is no folder of a conversion"):
        kept(tmp_path / "out.partial")


def test_what_a_killed_process_left_is_deleted(begun: Path, tmp_path: Path) -> None:
    """Of its own files alone, also before there is a record."""
    (begun / f".{SHARD}.77.abc").write_text("half")
    (begun / ".mine").write_text("mine")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / f".{RECORD}.77.abc").write_text("half")

    assert kept(begun) == {SHARD}
    assert kept(tmp_path / "new") == set()

    assert sorted(contents(begun)) == [".mine", RECORD, SHARD]
    assert contents(tmp_path / "new") == {}


def test_a_record_that_is_a_link_is_refused(begun: Path) -> None:
    """It would be replaced by a file."""
    (begun / RECORD).rename(begun.parent / "record")
    (begun / RECORD).symlink_to(begun.parent / "record")

    with pytest.raises(CheckpointError, match="is not the record of a conversion"):
        kept(begun)


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=40) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode))
def test_any_other_record_is_refused_in_one_line(content: bytes) -> None:
    """Nothing is deleted for it, and nothing raised that is not said."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / RECORD).write_bytes(content)
        (folder / SHARD).write_bytes(b"weights")

        with pytest.raises(CheckpointError, match=f"{RECORD}: is not the record of a conversion"):
            kept(folder)

        assert contents(folder) == {RECORD: content, SHARD: b"weights"}
        assert find_record(folder) is None


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_cut_record_is_refused(data: st.DataObject) -> None:
    """At whatever byte the disk was full."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_stage(folder, IDENTITY, [SHARD]) as stage:
            stage.save()
        whole = (folder / RECORD).read_bytes().rstrip()
        os.truncate(folder / RECORD, data.draw(st.integers(0, len(whole) - 1)))

        with pytest.raises(CheckpointError, match="is not the record of a conversion"):
            kept(folder)
