"""Files of a checkpoint that are not what their names say: pipes, folders, devices, Git LFS pointers."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 8200000000\n".format("0" * 64)
INDEX = "model.safetensors.index.json"


def pipe(path: Path) -> None:
    """A reader would wait for a writer."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """A reader would not come to an end."""
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(("make", "kind"), [(pipe, "a named pipe"), (device, "a device"), (Path.mkdir, "a folder")])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin", INDEX])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, name: str, make: Callable[[Path], None], kind: str
) -> None:
    """By the name of the file."""
    write(tmp_path, LLAMA, llama())
    if name in (INDEX, "pytorch_model.bin"):
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)

    with pytest.raises(CheckpointError, match=f"{name}: cannot be read: it is {kind}, expected a regular file"):
        examine(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin", INDEX])
def test_a_pointer_in_place_of_a_file_that_must_be_read_is_refused(tmp_path: Path, name: str) -> None:
    """With the file's size and the command that fetches it."""
    write(tmp_path, LLAMA, llama())
    if name in (INDEX, "pytorch_model.bin"):
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_text(POINTER)

    with pytest.raises(CheckpointError) as caught:
        examine(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path / name}: a Git LFS pointer to a file of 8.2 GB, not the file: run `git lfs pull` in {tmp_path}"
    )


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "merges.txt", "chat_template.jinja"])
def test_a_pointer_in_place_of_a_small_file_is_an_error(tmp_path: Path, name: str) -> None:
    """Beside what else is found."""
    write(tmp_path, LLAMA, llama())
    (tmp_path / name).write_text(POINTER)

    (found,) = examine(tmp_path).findings

    assert (found.level, found.about) == ("error", name)
    assert found.message.startswith("a Git LFS pointer to a file of 8.2 GB, not the file: run `git lfs pull` in ")


def test_pointers_that_nothing_loads_do_no_harm(tmp_path: Path) -> None:
    """Of pictures, and of weights in a format that engines do not choose."""
    write(tmp_path, LLAMA, llama())
    for name in ("figure.png", "README.md", "pytorch_model.bin", "consolidated.00.pth"):
        (tmp_path / name).write_text(POINTER)
    (tmp_path / "vocab.json").write_text(json.dumps({"version https://git-lfs.github.com/spec/v1": 0}))

    assert examine(tmp_path).findings == ()
