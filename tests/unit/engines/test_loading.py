"""What the reference loads: published weights as they are meant, and nothing that only looks like a model."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.engines.loading import load_model
from npu_conformance.errors import CheckpointError
from tests.unit.checkpoints.test_families import SMALL, small
from tests.unit.conversion.test_fp8 import save_qwen3
from tests.unit.helpers.quantised_checkpoints import edit_config, edit_tensors
from tests.unit.helpers.tiny_checkpoints import LLAMA

SCALES = ("k_scale", "v_scale", "k_proj.output_scale")


def load(folder: Path) -> Any:
    """As the reference does."""
    return load_model(folder, "float32", "sdpa", trust_remote_code=False)


def test_block_fp8_is_read_without_our_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter is what transformers dequantises it to."""
    import torch
    import transformers

    from npu_conformance.conversion.formats import fp8

    save_qwen3(tmp_path / "source")
    monkeypatch.delattr(fp8, "dequantise")
    mine = load(tmp_path / "source").state_dict()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "source",
        dtype=torch.float32,
        quantization_config=transformers.FineGrainedFP8Config(
            dequantize=True, weight_block_size=(32, 32), modules_to_not_convert=["lm_head"]
        ),
    ).state_dict()

    assert set(mine) == set(theirs)
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def test_rotary_frequencies_are_those_of_float32_in_every_dtype(tmp_path: Path) -> None:
    """Weights are cast, and no frequency: of 8 bits one turns the thousandth token by radians."""
    import torch

    save_qwen3(tmp_path / "source")
    exact, narrow = (
        load_model(tmp_path / "source", dtype, "sdpa", trust_remote_code=False) for dtype in ("float32", "bfloat16")
    )

    assert {one.dtype for one in narrow.parameters()} == {torch.bfloat16}
    assert torch.equal(narrow.model.rotary_emb.inv_freq, exact.model.rotary_emb.inv_freq)


def test_a_model_with_weights_left_out_is_refused(tmp_path: Path) -> None:
    """Transformers would make some up, with a warning that nobody reads."""
    save_qwen3(tmp_path / "source")
    edit_tensors(tmp_path / "source", lambda tensors: tensors.pop("model.norm.weight"))

    with pytest.raises(CheckpointError, match=r"model\.norm\.weight"):
        load(tmp_path / "source")


def test_scales_of_a_cache_are_no_weights(tmp_path: Path) -> None:
    """The reference has no FP8 cache; the model is the same without them."""
    import torch

    save_qwen3(tmp_path / "source")
    before = load(tmp_path / "source").state_dict()
    scales = {f"model.layers.{index}.self_attn.{name}": torch.tensor(0.5) for index in (0, 1) for name in SCALES}
    edit_tensors(tmp_path / "source", lambda tensors: tensors.update(scales))

    after = load(tmp_path / "source").state_dict()

    assert set(after) == set(before)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_a_method_without_a_reader_asks_for_the_original(tmp_path: Path) -> None:
    """In one line."""
    save_qwen3(tmp_path / "source")
    edit_config(tmp_path / "source", quantization_config={"quant_method": "quark"})

    with pytest.raises(CheckpointError, match=r"quantised by quark are not read here.* reference\.model"):
        load(tmp_path / "source")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"hidden_act": "own"}, r"cannot make the model \(KeyError: 'own'\): compare config\.json with the published"),
        ({"attention_bias": True}, r"has no weights for model\.layers\.0\.self_attn\.k_proj\.bias and 7 more"),
    ],
)
def test_a_config_that_makes_no_such_model_is_named(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    """What inspection cannot know, in one line."""
    save_qwen3(tmp_path / "source")
    edit_config(tmp_path / "source", **keys)

    with pytest.raises(CheckpointError, match=told) as caught:
        load(tmp_path / "source")

    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    """Of a tensor that inspection does not know."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    plain = CONFIG_MAPPING["qwen3_5_text"]()
    folder = tmp_path / "model"
    AutoModelForCausalLM.from_config(type(plain)(**small(plain, SMALL))).save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    edit_config(folder, linear_conv_kernel_dim=2)

    with pytest.raises(CheckpointError, match=r"of another shape for .*linear_attn\.conv1d\.weight.* not of the same"):
        load(folder)


def whole(folder: Path, tensors: dict[str, Any]) -> None:
    """One file, and beside it what Mistral and older libraries would read."""
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors")
    save_file({f"other.{name}": tensor * 2 for name, tensor in tensors.items()}, folder / "consolidated.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"a download that was given up")


def shards(folder: Path, tensors: dict[str, Any]) -> None:
    """Two files and their index, which leaves a third out."""
    from safetensors.torch import save_file

    parts: dict[str, dict[str, Any]] = {"model-1.safetensors": {}, "model-2.safetensors": {}}
    for number, (name, tensor) in enumerate(tensors.items()):
        parts[f"model-{number % 2 + 1}.safetensors"][name] = tensor
    for file, part in parts.items():
        save_file(part, folder / file)
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, folder / "old.safetensors")
    places = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def pickled(folder: Path, tensors: dict[str, Any]) -> None:
    """As before safetensors."""
    import torch

    torch.save(tensors, folder / "pytorch_model.bin")


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A folder with config and tokenizer, and a model's weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **{key: value for key, value in LLAMA.items() if key != "architectures"}, architectures=["LlamaForCausalLM"]
    )
    torch.manual_seed(0)
    tensors = {name: tensor.clone() for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    return tmp_path, tensors


@pytest.mark.parametrize("store", [whole, shards, pickled])
def test_the_reference_loads_what_inspection_reads(plain: tuple[Path, dict[str, Any]], store: Any) -> None:
    """Whatever else lies in the folder."""
    import torch

    folder, tensors = plain
    store(folder, tensors)
    checkpoint = inspect(folder)

    loaded = load(folder).state_dict()

    assert set(loaded) == set(checkpoint.tensors) == set(tensors)
    for name in loaded:
        assert torch.equal(loaded[name], load_tensor(checkpoint, name))
        assert torch.equal(loaded[name], tensors[name])


def test_a_stale_copy_in_another_shard_is_refused(plain: tuple[Path, dict[str, Any]]) -> None:
    """Transformers would load it, and vLLM too, so that they agree on the wrong model."""
    from safetensors.torch import load_file, save_file

    folder, tensors = plain
    shards(folder, tensors)
    name = "model.embed_tokens.weight"
    save_file(load_file(folder / "model-2.safetensors") | {name: tensors[name] * 0}, folder / "model-2.safetensors")

    with pytest.raises(CheckpointError, match=r"embed_tokens.weight: is in model-1.safetensors and in model-2"):
        load(folder)
