"""Weight files: which are read and what they declare, without torch and without running what is in them."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.checkpoints.weight_files import read_tensors
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import write


def save(path: Path, state: object) -> None:
    """As a training script saves weights."""
    import torch

    torch.save(state, path)


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """A folder with a `.bin` file of several dtypes, made by a module and by hand."""
    import torch

    module = torch.nn.Linear(3, 2).half()
    state = module.state_dict()
    for name, dtype in {
        "brain": torch.bfloat16,
        "single": torch.float32,
        "words": torch.int32,
        "eight": torch.float8_e4m3fn,
        "flags": torch.bool,
    }.items():
        state[name] = torch.ones(4, 5).to(dtype)
    state["parameter"] = torch.nn.Parameter(torch.ones(6))
    state["part"] = torch.ones(4, 5)[1:3]
    state["scalar"] = torch.tensor(1.0)
    save(tmp_path / "pytorch_model.bin", state)
    return tmp_path


def test_a_state_dict_is_read_without_torch(pickled: Path) -> None:
    """Shapes and dtypes by safetensors' names."""
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in read_tensors(pickled).items()}

    assert found == {
        "weight": ("F16", (2, 3)),
        "bias": ("F16", (2,)),
        "brain": ("BF16", (4, 5)),
        "single": ("F32", (4, 5)),
        "words": ("I32", (4, 5)),
        "eight": ("F8_E4M3", (4, 5)),
        "flags": ("BOOL", (4, 5)),
        "parameter": ("F32", (6,)),
        "part": ("F32", (2, 5)),
        "scalar": ("F32", ()),
    }


def test_safetensors_are_preferred_and_other_bin_files_left_alone(pickled: Path) -> None:
    """As the engines do; a trainer's arguments are no weights."""
    (pickled / "training_args.bin").write_bytes(b"anything")
    assert "brain" in read_tensors(pickled)

    write(pickled, {}, {"other": ("F32", (2,))})
    assert set(read_tensors(pickled)) == {"other"}


def test_a_whole_file_is_read_alone(tmp_path: Path) -> None:
    """Whatever lies beside it: the same weights under another library's names, or what is left of a .bin download."""
    write(tmp_path, {}, {"model.norm.weight": ("F32", (2,))})
    write(tmp_path, {}, {"norm.weight": ("F32", (2,))}, "consolidated.safetensors")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"t": "pytorch_model-1.bin"}}))

    assert set(read_tensors(tmp_path)) == {"model.norm.weight"}


@pytest.mark.parametrize("name", ["pytorch_model.bin.index.json", "quant_model_weights.safetensors.index.json"])
def test_an_index_of_another_name_is_followed(tmp_path: Path, name: str) -> None:
    """Only the shards it lists are read."""
    import torch

    if name.startswith("pytorch"):
        shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
        for index, shard in enumerate(shards):
            save(tmp_path / shard, {f"t{index}": torch.ones(index + 1)})
    else:
        shards = ["quant_model_weights-1.safetensors", "quant_model_weights-2.safetensors"]
        for index, shard in enumerate(shards):
            write(tmp_path, {}, {f"t{index}": ("F32", (index + 1,))}, shard)
    (tmp_path / name).write_text(json.dumps({"weight_map": {"t0": shards[0], "t1": shards[1]}}))

    assert {name: tensor.shape for name, tensor in read_tensors(tmp_path).items()} == {"t0": (1,), "t1": (2,)}

    (tmp_path / shards[1]).unlink()
    with pytest.raises(CheckpointError, match=rf"{shards[1]}: missing; .*lists 2 shards, 1 are not here"):
        read_tensors(tmp_path)


def test_an_index_of_other_shards_is_found(tmp_path: Path) -> None:
    """The shard is there, the tensor is not in it."""
    write(tmp_path, {}, {"a": ("F32", (1,))}, "one.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}})
    )

    with pytest.raises(CheckpointError, match=r"one.safetensors: b is not in it, but model.safetensors.index.json"):
        read_tensors(tmp_path)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    """File and class are named."""
    sprung = tmp_path / "sprung"
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Trap(sprung)}, protocol=2))

    with pytest.raises(
        CheckpointError, match=r"pytorch_model.bin: wants posix.mkdir, which a state dict does not"
    ) as caught:
        read_tensors(tmp_path)

    assert not sprung.exists()
    assert "\n" not in str(caught.value)


def truncate(file: Path) -> None:
    """An aborted download."""
    file.write_bytes(file.read_bytes()[:-30])


def replace_by_text(file: Path) -> None:
    """A pointer file."""
    file.write_text("version https://git-lfs.github.com/spec/v1\n")


def shorten_a_storage(file: Path) -> None:
    """The archive is whole and a tensor in it is not."""
    rewrite(file, "pytorch_model/data/2", lambda content: content[:-1])


def cut_the_pickle(file: Path) -> None:
    """A table of contents that ends early."""
    rewrite(file, "pytorch_model/data.pkl", lambda content: content[:-20])


def rewrite(file: Path, record: str, change: Callable[[bytes], bytes]) -> None:
    """Change one record of an archive."""
    with zipfile.ZipFile(file) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    assert record in records
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, change(content) if name == record else content)


def whole_module(file: Path) -> None:
    """`torch.save(model)` instead of its state dict."""
    import torch

    save(file, torch.nn.Linear(2, 2))


def nested_state(file: Path) -> None:
    """A trainer's checkpoint."""
    import torch

    save(file, {"epoch": 3, "model": {"weight": torch.ones(2)}})


def no_state(file: Path) -> None:
    """A bare tensor."""
    import torch

    save(file, [torch.ones(2)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "truncated: its table of contents is missing"),
        (replace_by_text, "a Git LFS pointer, not the file: run `git lfs pull`"),
        (shorten_a_storage, r"brain needs 40 bytes in pytorch_model/data/2, the archive has 39"),
        (cut_the_pickle, "its header cannot be read"),
        (whole_module, "wants torch.nn.modules.linear.Linear"),
        (nested_state, "epoch is a int, expected a tensor"),
        (no_state, "holds a list, expected a state dict"),
    ],
)
def test_damage_is_one_line_that_names_the_file(pickled: Path, damage: Callable[[Path], None], message: str) -> None:
    """File, what is wrong, what to do."""
    file = pickled / "pytorch_model.bin"
    damage(file)

    with pytest.raises(CheckpointError, match=message) as caught:
        read_tensors(pickled)

    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
