"""Every tensor is in one place: where vLLM, transformers and this suite would read different ones, it is said."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.checkpoints.weight_files import Weights, read_weights
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import Shapes, write

INDEX = "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def shapes(*names: str) -> Shapes:
    """Tensors of four elements."""
    return dict.fromkeys(names, ("F32", (4,)))


def list_in_index(folder: Path, places: dict[str, str], name: str = INDEX) -> None:
    """An index."""
    (folder / name).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))


def two_shards(folder: Path) -> None:
    """The usual."""
    write(folder, {}, shapes("a", "b"), ONE)
    write(folder, {}, shapes("c"), TWO)
    list_in_index(folder, {"a": ONE, "b": ONE, "c": TWO})


def stale_copy(folder: Path) -> None:
    """The first shard's tensor once more in the second."""
    two_shards(folder)
    write(folder, {}, shapes("a", "c"), TWO)


def stray_shard(folder: Path) -> None:
    """A second file beside a whole one."""
    write(folder, {}, shapes("a", "b"))
    write(folder, {}, shapes("b"), "zz_old.safetensors")


def draft_beside(folder: Path) -> None:
    """Tensors of other names beside a whole file."""
    write(folder, {}, shapes("a", "b"))
    write(folder, {}, shapes("mtp"), "mtp.safetensors")


def damaged_stray(folder: Path) -> None:
    """No weights at all."""
    write(folder, {}, shapes("a"))
    (folder / "zz.safetensors").write_text("no")


def two_models(folder: Path) -> None:
    """Shards and a whole file that the index does not list."""
    two_shards(folder)
    write(folder, {}, shapes("a", "b", "c"))


def unlisted(folder: Path) -> None:
    """An index that lists less than there is."""
    two_shards(folder)
    list_in_index(folder, {"a": ONE, "c": TWO})


def wrong_shard(folder: Path) -> None:
    """An index that says the other file."""
    two_shards(folder)
    list_in_index(folder, {"a": ONE, "b": TWO, "c": TWO})


def beside_modelslim(folder: Path) -> None:
    """An index that vLLM does not know."""
    write(folder, {}, shapes("a"), "quant_model_weights-00001-of-00001.safetensors")
    write(folder, {}, shapes("a"), "model-00001-of-00001.safetensors")
    list_in_index(
        folder,
        {"a": "quant_model_weights-00001-of-00001.safetensors"},
        "quant_model_weights.safetensors.index.json",
    )


def lost_shard(folder: Path) -> None:
    """No index, and by its name the second of two."""
    write(folder, {}, shapes("c"), TWO)


def no_index(folder: Path) -> None:
    """Names that only vLLM looks for."""
    write(folder, {}, shapes("c"), "weights.safetensors")


def copied_on_a_mac(folder: Path) -> None:
    """A hidden file beside each, which nobody reads."""
    write(folder, {}, shapes("a"))
    (folder / "._model.safetensors").write_bytes(b"Mac OS X")


def mistral(folder: Path) -> None:
    """As Mistral publishes, under both names."""
    two_shards(folder)
    write(folder, {}, shapes("x", "y", "z"), "consolidated.safetensors")


def other_mistral(folder: Path) -> None:
    """Of another model."""
    two_shards(folder)
    write(folder, {}, shapes("x", "y"), "consolidated.safetensors")


BOTH = "vLLM reads both, transformers reads"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (two_shards, []),
        (copied_on_a_mac, []),
        (
            stale_copy,
            [
                f"error a: is in {ONE} and in {TWO}; {INDEX} says {ONE}; vLLM and transformers take the one that they "
                "read last: delete the other, or download the model again"
            ],
        ),
        (
            stray_shard,
            [f"error zz_old.safetensors: b is in it and in model.safetensors; {BOTH} model.safetensors alone"],
        ),
        (
            draft_beside,
            ["warning mtp.safetensors: vLLM reads its tensors too, transformers reads model.safetensors al"],
        ),
        (damaged_stray, ["error zz.safetensors: vLLM reads it too, and it cannot be read (/"]),
        (
            two_models,
            ["error model.safetensors: transformers reads it alone, vLLM the files that model.safetensors.ind"],
        ),
        (
            unlisted,
            [f"warning b: is in {ONE}, but {INDEX} does not list it; vLLM and transformers load it all the sam"],
        ),
        (wrong_shard, [f"note b: is in {ONE}, {INDEX} says {TWO}; vLLM and transformers find it all the same"]),
        (beside_modelslim, ["error model-00001-of-00001.safetensors: a is in it and in quant_model_weights-00001-of-"]),
        (lost_shard, [f"error {ONE}: missing, by the name of {TWO}", f"warning {TWO}: transformers finds no weights"]),
        (no_index, ["warning weights.safetensors: transformers finds no weights here, only vLLM does"]),
        (mistral, [f"note consolidated.safetensors: vLLM reads it, and transformers {ONE}: one model twice"]),
        (other_mistral, ["warning consolidated.safetensors: vLLM reads it, with 8 elements, and transformers"]),
    ],
)
def test_what_loaders_would_read(tmp_path: Path, make: Callable[[Path], None], expected: list[str]) -> None:
    """The file and tensor, who reads what, and what to do."""
    make(tmp_path)

    found = [f"{finding.level} {finding}" for finding in read_weights(tmp_path).findings]

    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({}, f"{INDEX}: its weight_map is empty"),
        ([], f"{INDEX}: its weight_map is not a file's name for each tensor's"),
        (None, f"{INDEX}: its weight_map is not"),
        ({"a": 3}, f"{INDEX}: its weight_map is not"),
        ({"a": ["model.safetensors"]}, f"{INDEX}: its weight_map is not"),
        ({"a": "../model.safetensors"}, f"{INDEX}: names '../model.safetensors', expected the name of a file beside"),
        ({"a": ""}, f"{INDEX}: names '', expected"),
        ({"a": "x\0y"}, "missing; .*lists 1 shards"),
        ({"a": ONE, "gone": ONE}, f"{ONE}: gone is not in it, but {INDEX} says so"),
    ],
)
def test_an_index_of_no_model(tmp_path: Path, weight_map: object, message: str) -> None:
    """It is named, and nothing is read by it."""
    write(tmp_path, {}, shapes("a"), ONE)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path)


def test_files_without_a_tensor(tmp_path: Path) -> None:
    """Are no model."""
    write(tmp_path, {}, {})

    with pytest.raises(CheckpointError, match=r"model.safetensors: holds no tensors \(1 weight files in all\)"):
        read_weights(tmp_path)


NAMES = st.sampled_from(["model.safetensors", ONE, TWO, "zz.safetensors"])
FILES = st.dictionaries(NAMES, st.sets(st.sampled_from("abc"), max_size=3), min_size=1)
PLACES = st.none() | st.dictionaries(st.sampled_from("abc"), NAMES)


def vllm(files: dict[str, set[str]], places: dict[str, str] | None) -> dict[str, str] | None:
    """The file it takes each tensor from, by default_loader.py; None where it refuses."""
    read = sorted(files) if places is None else sorted(set(files) & set(places.values()))
    if not read or (places is not None and set(places.values()) - set(files)):
        return None
    return {name: file for file in read for name in files[file]}


def transformers(files: dict[str, set[str]], places: dict[str, str] | None) -> dict[str, str] | None:
    """The file it takes each tensor from, by modeling_utils.py; None where it refuses."""
    if "model.safetensors" in files:
        return dict.fromkeys(files["model.safetensors"], "model.safetensors")
    if places is None or not places or set(places.values()) - set(files):
        return None
    return {name: file for file in sorted(set(places.values())) for name in files[file]}


def read(folder: Path) -> Weights | None:
    """What is read; None where it is refused."""
    try:
        return read_weights(folder)
    except CheckpointError:
        return None


def tells_apart(finding: Finding) -> bool:
    """Whether it says that loaders read different things."""
    return finding.level in ("error", "warning") and "load it all the same" not in finding.message


@settings(max_examples=150, deadline=1000)
@given(files=FILES, places=PLACES)
def test_where_nothing_is_said_all_read_the_same(files: dict[str, set[str]], places: dict[str, str] | None) -> None:
    """Whatever lies in the folder and whatever its index says; and where it is only noted, they do too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, tensors in files.items():
            write(folder, {}, shapes(*sorted(tensors)), file)
        if places is not None:
            list_in_index(folder, places)
        found = read(folder)
        if found is None or any(tells_apart(finding) for finding in found.findings):
            return
        own = {tensor: stored.file.name for tensor, stored in found.tensors.items()}
        assert own == vllm(files, places) == transformers(files, places)


JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([ONE, "a"]),
    lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("a"), more, max_size=3),
)


@settings(max_examples=100, deadline=1000)
@given(content=JSON | st.fixed_dictionaries({"weight_map": JSON}), damage=st.binary(max_size=3))
def test_any_index_is_read_or_refused(content: object, damage: bytes) -> None:
    """In one line that names it, or the file that it names."""
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name), {}, shapes("a"), ONE)
        (folder / INDEX).write_bytes(json.dumps(content).encode() + damage)
        message = refused(folder)

    assert message is None or (message.startswith(name) and "\n" not in message)


def refused(folder: Path) -> str | None:
    """The message; None where it is read."""
    try:
        read_weights(folder)
    except CheckpointError as error:
        return str(error)
    return None
