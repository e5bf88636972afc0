"""Inspection: damage is found from headers, and said in one line."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from npu_conformance.checkpoints.inspect import examine, inspect
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small healthy checkpoint folder in two shards."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], "vocab_size": 10, "hidden_size": 4}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    shards: dict[str, dict[str, NDArray[np.generic]]] = {
        "model-1.safetensors": {"model.embed_tokens.weight": np.zeros((10, 4), np.float16)},
        "model-2.safetensors": {"model.norm.weight": np.ones(4, np.float32)},
    }
    for name, tensors in shards.items():
        save_file(tensors, folder / name)
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_a_healthy_checkpoint(checkpoint: Path) -> None:
    """Shapes, dtypes and sizes come from the headers."""
    found = inspect(checkpoint)

    assert found.tensors["model.embed_tokens.weight"].shape == (10, 4)
    assert found.tensors["model.embed_tokens.weight"].dtype == "F16"
    assert found.parameters == 44
    assert len(found.files) == 2


def truncate(folder: Path) -> None:
    """The last shard loses ten bytes, as an aborted download does."""
    path = folder / "model-2.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def lengthen(folder: Path) -> None:
    """Something was appended."""
    path = folder / "model-2.safetensors"
    path.write_bytes(path.read_bytes() + b"more")


def replace_by_text(folder: Path) -> None:
    """What a proxy or a pointer file leaves instead of weights."""
    (folder / "model-2.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def cut_in_header(folder: Path) -> None:
    """Four bytes only."""
    (folder / "model-2.safetensors").write_bytes(struct.pack("<I", 7))


def other_vocabulary(folder: Path) -> None:
    """A config of another model."""
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], "vocab_size": 12}))


def dangling_shard(folder: Path) -> None:
    """A cache that was pruned keeps the link and loses the file."""
    (folder / "model-2.safetensors").unlink()
    (folder / "model-2.safetensors").symlink_to("gone")


def index_without_map(folder: Path) -> None:
    """Valid JSON of another kind."""
    (folder / "model.safetensors.index.json").write_text("{}")


def scalar_embedding(folder: Path) -> None:
    """An embedding without rows."""
    save_file({"model.embed_tokens.weight": np.array(1, dtype=np.float32)}, folder / "model-1.safetensors")


def remove_weights(folder: Path) -> None:
    """Only config and tokenizer were downloaded."""
    for path in folder.glob("model*"):
        path.unlink()


def nested_vocabulary(folder: Path) -> None:
    """The same, where the language model is a part."""
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], "text_config": {"vocab_size": 12}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "model-2.safetensors: truncated: its header declares"),
        (lengthen, "model-2.safetensors: longer than its header says"),
        (replace_by_text, "model-2.safetensors: a Git LFS pointer, not the file: run `git lfs pull` in"),
        (cut_in_header, "model-2.safetensors: not a safetensors file"),
        (
            other_vocabulary,
            "config.json: vocab_size is 12, the weights say 10: config and weights are not of the same model",
        ),
        (nested_vocabulary, "config.json: vocab_size is 12"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer here"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: cannot be read as JSON"),
        (
            lambda folder: (folder / "config.json").write_text("[" * 3000),
            "config.json: cannot be read as JSON: nested too deeply: download it again",
        ),
        (
            lambda folder: (folder / "config.json").write_text('{"a":' * 65 + "1" + "}" * 65),
            "config.json: cannot be read as JSON: nested more than 64 deep: download it again",
        ),
        (
            lambda folder: (folder / "config.json").write_text('{"a": "\\ud800"}'),
            "config.json: cannot be read as JSON: 'utf-8' codec can't encode character",
        ),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: expected a JSON object"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xef\xbb\xbf{}"), "Unexpected UTF-8 BOM"),
        (
            lambda folder: (folder / "model-1.safetensors").unlink(),
            "model-1.safetensors: missing; .* lists 2 shards, 1",
        ),
        (remove_weights, "no weights here"),
        (dangling_shard, "model-2.safetensors: missing"),
        (index_without_map, "model.safetensors.index.json: its weight_map is not a file"),
        (scalar_embedding, r"embed_tokens.weight: is of shape \[\], expected 2 dimensions"),
    ],
)
def test_damage_is_one_line_that_names_the_file(checkpoint: Path, damage: Callable[[Path], None], message: str) -> None:
    """File, what is wrong, what to do."""
    damage(checkpoint)

    with pytest.raises(CheckpointError, match=message) as caught:
        inspect(checkpoint)

    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(checkpoint))


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    """Libraries take the last; people may read the first."""
    folder = write(tmp_path, LLAMA | {"rope_scaling": None}, llama())
    path = folder / "config.json"
    path.write_text(
        path.read_text().replace("{", '{"vocab_size": 12, "rope_scaling": {"factor": 2.0, "factor": 4.0}, ', 1)
    )

    (finding,) = examine(folder).findings

    told = "factor, vocab_size, rope_scaling: there twice; libraries take the last: remove the one that is not meant"
    assert (finding.level, str(finding)) == ("warning", f"config.json: {told}")


def test_an_odd_value_of_the_config_is_not_told_of_the_weights(tmp_path: Path) -> None:
    """They need no second download."""
    write(tmp_path, LLAMA | {"num_attention_heads": "four"}, llama())

    with pytest.raises(CheckpointError, match=r"num_attention_heads is 'four', the weights say 4: .*--fix-config"):
        inspect(tmp_path)


@pytest.mark.parametrize("name", ["qwen.tiktoken", "vocab.txt", "spiece.model", "sentencepiece.bpe.model"])
def test_tokenizers_of_older_families_are_tokenizers(checkpoint: Path, name: str) -> None:
    """Qwen's first, BERT's, T5's and XLM-R's files."""
    (checkpoint / "tokenizer.json").rename(checkpoint / name)

    assert inspect(checkpoint).findings == ()


@pytest.mark.parametrize("name", ["tokenizer.json", "generation_config.json"])
def test_a_damaged_small_file_is_told_of_once(checkpoint: Path, name: str) -> None:
    """Beside what else is wrong."""
    (checkpoint / name).write_text("{")
    assert [one.about for one in examine(checkpoint).findings if one.level == "error"] == [name]


def test_several_errors_are_one_line(tmp_path: Path) -> None:
    """The first in full, the others by what they are about."""
    shapes = llama() | {"extra.weight": ("I8", (8, 8))}
    del shapes["lm_head.weight"]
    folder = write(tmp_path, LLAMA | {"hidden_size": 80}, shapes)

    with pytest.raises(CheckpointError) as caught:
        inspect(folder)

    assert str(caught.value).startswith(f"{folder}: config.json: hidden_size is 80, the weights say 64: ")
    assert str(caught.value).endswith(" (and 2 more: lm_head.weight, extra.weight)")
    assert "\n" not in str(caught.value)
    assert [finding.level for finding in examine(folder).findings] == ["error"] * 3


def test_notes_stay_with_the_checkpoint(tmp_path: Path) -> None:
    """What is no error is for the report."""
    folder = write(tmp_path, LLAMA | {"tie_word_embeddings": True}, llama())

    assert [finding.level for finding in inspect(folder).findings] == ["note"]


def test_a_pickled_checkpoint_is_inspected_alike(tmp_path: Path) -> None:
    """Its shapes against its config."""
    import torch

    write(tmp_path, {"vocab_size": 12}, {})
    (tmp_path / "model.safetensors").unlink()
    torch.save({"model.embed_tokens.weight": torch.zeros(10, 4)}, tmp_path / "pytorch_model.bin")

    with pytest.raises(CheckpointError, match="vocab_size is 12, the weights say 10"):
        inspect(tmp_path)


def test_another_folder_than_the_checkpoints_is_answered_with_what_to_name(tmp_path: Path) -> None:
    """A file of it, the folder above it, that of a hub's cache, and none."""
    snapshot = write(tmp_path / "models--org--M" / "snapshots" / "abc", LLAMA, llama())
    cached = snapshot.parents[1]

    for named, message in {
        snapshot / "model.safetensors": f": is a file, expected a checkpoint folder: name {snapshot}",
        cached: f"/config.json: missing; name the folder that has it: {snapshot}",
        snapshot.parent: f"/config.json: missing; name the folder that has it: {snapshot}",
        tmp_path: "/config.json: missing; the checkpoint folder needs it",
        tmp_path / "nope": ": no such folder",
    }.items():
        with pytest.raises(CheckpointError) as caught:
            examine(named)
        assert str(caught.value) == f"{named}{message}"
