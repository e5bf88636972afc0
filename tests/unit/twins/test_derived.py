"""Twins derived from a model's own files."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.errors import ConfigError
from npu_conformance.twins import architecture_of, base_of, called, find_recipe, recipe_digest
from npu_conformance.twins.derived import derived_network, with_special_tokens
from npu_conformance.twins.recipes import LINEAR, Adapted, Derived
from npu_conformance.twins.tokenizer import train_tokenizer
from tests.unit.helpers.model_files import compressed, write_model


def derived(folder: Path) -> Derived:
    """The recipe of the model in a folder."""
    recipe = find_recipe(str(folder / "config.json"))
    assert isinstance(recipe, Derived)
    return recipe


def network_of(recipe: Derived) -> Any:
    """Untrained."""
    return derived_network(recipe, with_special_tokens(recipe, train_tokenizer(["what is it?"] * 20, 400, recipe.chat)))


def test_a_recipe_is_of_the_models_own_files(tmp_path: Path) -> None:
    """And is made anew when they change; messages and the cache have its name, not its path."""
    name = str(write_model(tmp_path / "Model", "dense") / "config.json")
    before = recipe_digest(name, tmp_path, {})

    assert architecture_of(name) == "qwen3"
    assert base_of(name) is None
    assert called(name) == "derived-Model"
    assert derived(tmp_path / "Model").special_tokens == ("<|begin|>", "<|end|>")
    config = json.loads(Path(name).read_text())
    Path(name).write_text(json.dumps(config | {"attention_bias": True}))
    assert recipe_digest(name, tmp_path, {}) != before


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("dense", None),
        ("fp8", "fp8"),
        ("gptq", "gptq"),
        ("gptq-int4", None),
        ("awq", "awq"),
        ("int8", "w8a8"),
        ("mixture", None),
    ],
)
def test_weights_are_stored_as_the_models(tmp_path: Path, kind: str, form: str | None) -> None:
    """Where the suite can store that form."""
    assert derived(write_model(tmp_path / kind, kind)).format == form


def test_forms_of_compressed_tensors(tmp_path: Path) -> None:
    """By what weights and inputs are."""
    for number, (about, form) in enumerate(
        [
            (compressed("int", 4, inputs=False), "w4a16"),
            (compressed("float", 8, inputs=True), "fp8-dynamic"),
            (compressed("int", 3, inputs=False), None),
            ({"quant_method": "compressed-tensors"}, None),
        ]
    ):
        folder = write_model(tmp_path / str(number), "dense", quantization_config=about)
        assert derived(folder).format == form


@pytest.mark.parametrize(
    ("kind", "told"),
    [("seeing", r"reads more than text \(qwen3_5\)"), ("dense", "names no num_hidden_layers")],
)
def test_what_no_twin_can_be_derived_from_is_said(tmp_path: Path, kind: str, told: str) -> None:
    """In one line with the file."""
    folder = write_model(tmp_path / kind, kind)
    if kind == "dense":
        (folder / "config.json").write_text('{"model_type": "gpt2", "n_embd": 768}')
    with pytest.raises(ConfigError, match=f"config.json: .*{told}"):
        derived(folder)


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    """As elsewhere."""
    with pytest.raises(ConfigError, match=r"config.json: missing; a derived twin is made from it"):
        derived(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        derived(tmp_path)


def test_a_lora_is_derived_beside_its_model(tmp_path: Path) -> None:
    """With its rank."""
    folder = write_model(tmp_path / "Model", "dense")
    (folder / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 12}')
    name = str(folder / "adapter_config.json")
    recipe = find_recipe(name)

    assert isinstance(recipe, Adapted)
    assert (recipe.rank, recipe.alpha) == (4, 12)
    assert base_of(name) == str(folder / "config.json")
    assert called(name) == "derived-Model-lora"


@pytest.mark.parametrize(
    ("named", "targets"),
    [
        (["qkv_proj", "o_proj"], ("qkv_proj", "o_proj")),
        (["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"], ("q_proj",)),
        ("all-linear", LINEAR),
        ([7, ""], LINEAR),
        (None, LINEAR),
    ],
)
def test_a_lora_is_put_on_the_layers_that_its_file_names(
    tmp_path: Path, named: object, targets: tuple[str, ...]
) -> None:
    """Phi-3's are not called as those of most models."""
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"r": 4, "target_modules": named}))
    recipe = find_recipe(str(path))

    assert isinstance(recipe, Adapted)
    assert recipe.targets == targets


def test_the_network_is_of_the_models_class(tmp_path: Path) -> None:
    """With the special tokens at the end of its vocabulary, which is a little larger than the tokenizer."""
    recipe = derived(write_model(tmp_path / "mixture", "mixture", tie_word_embeddings=True))
    tokenizer = with_special_tokens(recipe, train_tokenizer(["what is it?"] * 20, 400, recipe.chat))
    network = derived_network(recipe, tokenizer)

    assert type(network).__name__ == "Qwen3MoeForCausalLM"
    assert tokenizer.convert_ids_to_tokens([len(tokenizer) - 2, len(tokenizer) - 1]) == ["<|begin|>", "<|end|>"]
    assert network.config.vocab_size % 64 == 0
    assert network.config.vocab_size >= len(tokenizer)
    assert network.lm_head.weight is network.model.embed_tokens.weight
    assert sum(one.numel() for one in network.parameters()) < 20_000_000


@pytest.mark.parametrize("kind", ["mixture", "sinks"])
def test_the_last_expert_that_is_chosen_counts_little(tmp_path: Path, kind: str) -> None:
    """Rounding exchanges it at some positions: an error of the twin's own making would fail a right engine."""
    weights = dict(network_of(derived(write_model(tmp_path / kind, kind))).named_parameters())
    others = next(one for name, one in weights.items() if name.endswith("self_attn.o_proj.weight"))
    routers = [one for name, one in weights.items() if name.endswith((".gate.weight", ".router.weight"))]

    assert routers
    assert all(one.std() > 3 * others.std() for one in routers)


def test_a_text_begins_as_with_the_models_tokenizer(tmp_path: Path) -> None:
    """A chat template writes its own beginning."""
    folder = write_model(tmp_path / "Model", "dense")
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens | {"add_bos_token": True}))
    recipe = derived(folder)
    tokenizer = with_special_tokens(recipe, train_tokenizer(["what is it?"] * 20, 400, recipe.chat))

    first, *rest = tokenizer.encode("what")
    assert tokenizer.convert_ids_to_tokens(first) == "<|begin|>"
    assert tokenizer.encode("what", add_special_tokens=False) == rest


def test_a_class_that_transformers_lacks_is_one_line(tmp_path: Path) -> None:
    """It comes with the weights, and its code is not run."""
    with pytest.raises(ConfigError, match=r"twin of own: transformers .* makes no small telechat"):
        network_of(derived(write_model(tmp_path / "own", "own-code")))


def test_sizes_that_do_not_meet_are_one_line(tmp_path: Path) -> None:
    """Helium's output projection has the hidden size on both sides, whatever a head has."""
    changed: dict[str, Any] = {"model_type": "helium", "head_dim": 128, "num_key_value_heads": 32}
    with pytest.raises(ConfigError, match=r"twin of odd: transformers .* makes no small helium: RuntimeError: mat1"):
        network_of(derived(write_model(tmp_path / "odd", "tied", **changed)))
