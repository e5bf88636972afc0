"""A checkpoint's files against what was published, from each place that a machine without a network knows it from."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.__main__ import main
from npu_conformance.checkpoints.digests import git_blob, git_pointer, loaded_files
from npu_conformance.checkpoints.published_digests import (
    compare_digests,
    digest_findings,
    digests_in_words,
    published_digests,
)
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import CheckpointError
from npu_conformance.run.preparation import prepare
from npu_conformance.workers.jobs import Jobs
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

pytestmark = pytest.mark.usefixtures("cache")
WEIGHTS = "model.safetensors"


def sha(path: Path) -> str:
    """Of its bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hub_cache(folder: Path) -> Path:
    """As `huggingface_hub` downloads it: large files by SHA-256, small ones by git's id."""
    blobs, snapshot = folder / "models--a--b" / "blobs", folder / "models--a--b" / "snapshots" / ("0" * 40)
    blobs.mkdir(parents=True)
    made = write(folder / "made", LLAMA, llama())
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        blob = blobs / (sha(path) if path.name == WEIGHTS else git_blob(path))
        path.rename(blob)
        (snapshot / path.name).symlink_to(blob)
    return snapshot


def local_dir(folder: Path) -> Path:
    """As `hf download --local-dir` leaves it."""
    write(folder, LLAMA, llama())
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for path in loaded_files(folder):
        etag = sha(path) if path.name == WEIGHTS else git_blob(path)
        (notes / f"{path.name}.metadata").write_text(f"{'0' * 40}\n{etag}\n1764000000.5\n")
    return folder


def manifest(folder: Path) -> Path:
    """What `sha256sum *` prints."""
    write(folder, LLAMA, llama())
    lines = [f"{sha(path)}  {path.name}\n" for path in loaded_files(folder)]
    (folder / "SHA256SUMS").write_text("# of the release\n" + "".join(lines))
    return folder


def bsd_manifest(folder: Path) -> Path:
    """What `shasum --tag` prints; one file a list."""
    write(folder, LLAMA, llama())
    for path in loaded_files(folder):
        (folder / f"{path.name}.sha256").write_text(f"SHA256 ({path.name}) = {sha(path).upper()}\n")
    return folder


def git_clone(folder: Path) -> Path:
    """A clone whose large file is in Git LFS: its pointer is what git has."""
    write(folder, LLAMA, llama())
    weights = folder / WEIGHTS
    kept = weights.read_bytes()
    size = len(kept)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha(weights)}\nsize {size}\n"
    weights.write_text(pointer)
    (folder / "docs").mkdir()
    (folder / "docs" / "config.json").write_text("another of this name")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=folder, check=True)  # noqa: S607
    assert git_pointer(hashlib.sha256(kept).hexdigest(), size) == git_blob(weights)
    weights.write_bytes(kept)
    return folder


SOURCES = (hub_cache, local_dir, manifest, bsd_manifest, git_clone)


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_is_the_published_one_or_is_named(tmp_path: Path, source: Callable[[Path], Path]) -> None:
    """One byte of the weights in the middle; then one of config.json besides."""
    folder = source(tmp_path / "folder")
    files = compare_digests(folder, "all")
    assert {file.published for file in files} == {"as published"}
    assert digest_findings(folder, files) == []
    assert digests_in_words(files).startswith("3 of 3 files as published, 0 of 3 files differ, by ")

    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"\x01")
    (finding,) = digest_findings(folder, compare_digests(folder, "all"))
    assert (finding.level, finding.about) == ("error", WEIGHTS)
    assert f"remove {(folder / WEIGHTS).resolve()} and download it again" in finding.message

    (folder / "config.json").write_text("{}")
    levels = {finding.about: finding.level for finding in digest_findings(folder, compare_digests(folder, "small"))}
    assert levels == {WEIGHTS: "error", "config.json": "warning"}


def test_of_a_folder_that_nobody_published_nothing_is_known(tmp_path: Path) -> None:
    """Said so, and no finding; the digests are there all the same."""
    folder = write(tmp_path, LLAMA, llama())
    files = compare_digests(folder, "all")

    assert [(file.published, file.sha256) for file in files] == [
        ("unknown", sha(path)) for path in loaded_files(folder)
    ]
    assert digest_findings(folder, files) == []
    assert digests_in_words(files).startswith("not known here")


def test_large_files_are_read_when_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By size, a file counts as it was when it was last read; asked for, the disk is read again."""
    monkeypatch.setattr("npu_conformance.checkpoints.published_digests._SMALL", 2000)
    folder = manifest(tmp_path)
    states = {file.name: file.published for file in compare_digests(folder, "small")}
    assert states == {WEIGHTS: "not read", "config.json": "as published", "tokenizer.json": "as published"}
    assert "1 not read (--digests reads them)" in digests_in_words(compare_digests(folder, "small"))

    compare_digests(folder, "all")
    assert {file.published for file in compare_digests(folder, "small")} == {"as published"}


def test_damage_that_leaves_no_trace_in_the_times_is_seen_when_the_disk_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that gives other bytes than it took; the remembered digest cannot show it."""
    folder = manifest(tmp_path)
    compare_digests(folder, "all")
    monkeypatch.setattr("npu_conformance.checkpoints.digests.sha256", lambda _path: "0" * 64)

    assert {file.published for file in compare_digests(folder, "all")} == {"as published"}
    assert {file.published for file in compare_digests(folder, "anew")} == {"differs"}


def test_doctor_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder by its lines, and ends with 1 where weights differ."""
    folder = manifest(tmp_path / "a")
    assert main(["doctor", str(folder), "--digests"]) == 0
    assert "published digests: 3 of 3 files as published, 0 of 3 files differ, by SHA256SUMS" in capsys.readouterr().out
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")

    assert main(["doctor", str(folder)]) == 1
    assert f"error: {WEIGHTS}: its bytes are not the published ones: SHA256SUMS" in capsys.readouterr().out
    assert main(["doctor", "--digests"]) == 4
    assert "--digests: goes with a checkpoint folder" in capsys.readouterr().err


def test_a_run_refuses_damaged_weights_before_it_reads_them(tmp_path: Path) -> None:
    """No job is asked for."""
    folder = manifest(tmp_path)
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")

    with pytest.raises(CheckpointError, match=f"{WEIGHTS}: its bytes are not the published ones"):
        prepare(ModelConfig(model="a/b"), Subject("b", "real", folder, folder), (), tmp_path, cast(Jobs, None))


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback."""

    def refuse(_path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("npu_conformance.checkpoints.published_digests.sha256", refuse)
    with pytest.raises(CheckpointError, match="cannot be read \\(Permission denied\\)"):
        compare_digests(write(tmp_path, LLAMA, llama()), "small")


def test_a_link_to_itself_is_no_digest(tmp_path: Path) -> None:
    """Nor one to nowhere."""
    folder = write(tmp_path, LLAMA, llama())
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "model.safetensors")
    (folder / "other.json").symlink_to(folder / "nowhere")

    assert published_digests(folder) == {}
    assert {file.name for file in compare_digests(folder, "all")} == {"config.json", "tokenizer.json"}


@settings(max_examples=60, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_lists_of_digests_are_no_harm(tmp_path: Path, data: st.DataObject) -> None:
    """Cut, spliced or arbitrary: what can be read counts, the rest is not known."""
    folder = tmp_path / "clone"
    if not folder.is_dir():
        git_clone(folder)
        (folder / "SHA256SUMS").touch()
    index = folder / ".git" / "index"
    whole = tmp_path / "index"
    if not whole.is_file():
        whole.write_bytes(index.read_bytes())
    content = bytearray(whole.read_bytes()[: data.draw(st.integers(0, 400))])
    for place in data.draw(st.lists(st.integers(0, 399), max_size=8)):
        if place < len(content):
            content[place] = data.draw(st.integers(0, 255))
    index.write_bytes(content)
    (folder / "SHA256SUMS").write_bytes(data.draw(st.binary(max_size=200)))

    for digest, source in published_digests(folder).values():
        assert len(digest) in (40, 64)
        assert source
    compare_digests(folder, "small")
