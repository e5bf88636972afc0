"""An adapter beside its base model: prefixes, other models, narrow layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.adapters.inspect import examine_adapter, inspect_adapter
from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_adapters import Matrices, matrices, write_adapter
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, llama, write


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    """A Llama."""
    return examine(write(tmp_path / "base", LLAMA, llama()))


def nested(tmp_path: Path, root: str, more: Shapes | None = None) -> Checkpoint:
    """The same inside a model of images and text."""
    config = {"architectures": ["Qwen3_5ForConditionalGeneration"], "text_config": LLAMA, "vision_config": {}}
    return examine(write(tmp_path / "nested", config, llama(root=root) | (more or {})))


def told(
    tmp_path: Path, base: Checkpoint, weights: Matrices, options: Mapping[str, Any] | None = None, **changed: Any
) -> str:
    """All that is found of an adapter beside its base model."""
    folder = write_adapter(tmp_path / "adapter", weights, **changed)
    findings = examine_adapter(folder, base, model="org/Base", options=options).findings
    return "\n".join(f"{one.level}: {one}" for one in findings)


def test_its_own_model_is_silent(tmp_path: Path, base: Checkpoint) -> None:
    """All linear layers."""
    weights = matrices(("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"))

    assert told(tmp_path, base, weights, target_modules=["q_proj", "o_proj", "down_proj"]) == ""


def test_a_prefix_of_the_text_model_alone_is_renamed(tmp_path: Path) -> None:
    """Trained through AutoModelForCausalLM, served with images: no module is found, without a word."""
    found = told(tmp_path, nested(tmp_path, "model.language_model."), matrices())

    assert found.startswith("error: model.layers.0.self_attn.q_proj (and 7 more): the base model has this module under")
    assert "from base_model.model.model. to base_model.model.model.language_model., which fits" in found


def test_a_rename_never_leads_into_a_tower(tmp_path: Path) -> None:
    """Whose layers have the names of the language model's, as a draft layer's."""
    aside: Shapes = {
        f"{root}.layers.0.self_attn.{name}_proj.weight": ("BF16", (64, 64))
        for root in ("model.audio_tower", "mtp")
        for name in "qv"
    }
    found = told(tmp_path, nested(tmp_path, "model.language_model.", aside), matrices())

    assert "tower" not in found
    assert "to base_model.model.model.language_model., which fits" in found


def test_a_prefix_of_the_whole_model_is_renamed(tmp_path: Path, base: Checkpoint) -> None:
    """The other way round."""
    found = told(tmp_path, base, matrices(root="model.language_model."))

    assert "from base_model.model.model.language_model. to base_model.model.model., which fits" in found


@pytest.mark.parametrize("adapter", ["model.language_model.", "language_model.model."])
@pytest.mark.parametrize("root", ["model.language_model.", "language_model.model."])
def test_both_names_of_the_nested_model_are_one(tmp_path: Path, adapter: str, root: str) -> None:
    """Vllm and transformers know both."""
    assert told(tmp_path, nested(tmp_path, root), matrices(root=adapter)) == ""


def test_a_checkpoint_that_is_not_nested_on_the_disk_alone(tmp_path: Path) -> None:
    """Qwen2-VL's files have model.layers, its modules model.language_model.layers."""
    base = nested(tmp_path, "model.", {"visual.merger.mlp.0.weight": ("BF16", (8, 8))})

    assert told(tmp_path, base, matrices(root="model.language_model.")) == ""
    assert told(tmp_path, base, matrices()) == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layers.3", "layers.40", "error: model.layers.40.self_attn.q_proj (and 1 more): the base model has fewer"),
        ("q_proj", "b_proj", "error: model.layers.0.self_attn.b_proj (and 3 more): the base model has no such module"),
        ("model.layers.0.self_attn", "model.visual.blocks.0.attn", "warning: model.visual.blocks.0.attn.q_proj (and"),
        (
            "self_attn.q_proj",
            "mlp.experts.0.gate_proj",
            "note: model.layers.0.mlp.experts.0.gate_proj (and 3 more): not",
        ),
    ],
)
def test_modules_that_are_not_there(tmp_path: Path, base: Checkpoint, old: str, new: str, message: str) -> None:
    """Of a larger model, of another one, of a tower; and those that this suite does not know."""
    weights = {name.replace(old, new): values for name, values in matrices().items()}
    names = ["q_proj", "v_proj", "b_proj", "gate_proj"]

    assert message in told(tmp_path, base, weights, target_modules=names)


def test_names_of_another_kind_are_not_judged(tmp_path: Path) -> None:
    """Mistral's own files name their layers otherwise; so it is said, and no error."""
    shapes: Shapes = {
        f"layers.{layer}.attention.w{name}.weight": ("BF16", (64, 64)) for layer in range(4) for name in "qkvo"
    }
    base = Checkpoint(tmp_path, {}, examine(write(tmp_path / "base", LLAMA, llama())).tensors)
    write(tmp_path / "own", LLAMA, shapes)
    base = examine(tmp_path / "own")

    found = told(tmp_path, base, matrices())

    assert "note: model.layers.0.self_attn.q_proj (and 7 more): not recognised" in found
    assert "error" not in found


def test_shapes_of_another_model_are_named(tmp_path: Path, base: Checkpoint) -> None:
    """With both."""
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    weights = matrices() | {name: np.ones((8, 128), dtype=np.float32)}

    assert "q_proj maps 128 inputs to 64 outputs, the base model's [64, 64]" in told(tmp_path, base, weights)


def test_embeddings_and_a_tied_head(tmp_path: Path) -> None:
    """A tied head is not stored, and an embedding's matrices lie the other way."""
    shapes = {name: shape for name, shape in llama().items() if name != "lm_head.weight"}
    base = examine(write(tmp_path / "base", LLAMA | {"tie_word_embeddings": True}, shapes))
    ones = np.ones((8, 64), dtype=np.float32)
    weights = {
        "base_model.model.lm_head.lora_A.weight": ones,
        "base_model.model.lm_head.lora_B.weight": np.ones((50, 8), dtype=np.float32),
        "base_model.model.model.embed_tokens.lora_embedding_A": np.ones((8, 50), dtype=np.float32),
        "base_model.model.model.embed_tokens.lora_embedding_B": ones.T.copy(),
        "base_model.model.model.embed_tokens.base_layer.weight": np.ones((50, 64), dtype=np.float32),
    }

    assert told(tmp_path, base, weights, target_modules=["lm_head", "embed_tokens"]) == ""


@pytest.mark.parametrize(
    ("rank", "devices", "message"),
    [(32, 1, ""), (64, 1, "it is 32 wide, less than the rank 64"), (32, 4, "it is 16 wide on each of 4 devices, less")],
)
def test_a_layer_narrower_than_the_rank(
    tmp_path: Path, base: Checkpoint, rank: int, devices: int, message: str
) -> None:
    """`hidden in should be smaller than hidden out`, which on an NPU ends the engine."""
    weights = matrices(rank=rank)
    found = told(tmp_path, base, weights, {"tensor_parallel_size": devices}, r=rank)

    assert message in found
    assert ("hidden in should be smaller than hidden out" in found) == bool(message)


def test_a_rank_that_the_yaml_forbids(tmp_path: Path, base: Checkpoint) -> None:
    """Vllm would refuse the adapter."""
    found = told(tmp_path, base, matrices(rank=16), {"max_lora_rank": 8}, r=16)

    assert "its largest rank is 16, the model config's max_lora_rank is 8, and vLLM refuses that" in found


@pytest.mark.parametrize(
    ("named", "noted"), [("org/Other", True), ("/data/Base/", False), ("mirror/base", False), (None, False)]
)
def test_the_model_it_was_trained_on(tmp_path: Path, base: Checkpoint, named: str | None, noted: bool) -> None:
    """By the last part of its name, for it may come from another hub."""
    found = told(tmp_path, base, matrices(), base_model_name_or_path=named)

    assert ("the model config says org/Base" in found) == noted


def test_a_run_is_refused_with_the_first_error(tmp_path: Path, base: Checkpoint) -> None:
    """And what is no error goes into its report."""
    folder = write_adapter(tmp_path / "adapter", use_dora=True, bias="all")
    with pytest.raises(CheckpointError, match=r"adapter: adapter_config.json: use_dora is true.*\(and 1 more"):
        inspect_adapter(folder, base, None, {})

    write_adapter(folder, base_model_name_or_path="org/Other")
    assert [finding.about for finding in inspect_adapter(folder, base, "org/Base", {})] == [
        "adapter: adapter_config.json"
    ]
