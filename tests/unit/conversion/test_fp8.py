"""FP8: the values are those of transformers' own dequantisation, and of a loop over blocks where it has none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.quantisation.schema import Block
from npu_conformance.conversion.convert import convert
from npu_conformance.conversion.formats import fp8
from npu_conformance.conversion.plan import plan
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.quantised_checkpoints import edit_config

BLOCK = 32


def random_weight(rows: int, columns: int, block: Block, seed: int = 0) -> tuple[Any, Any]:
    """Codes of every sign and size, and scales in float32."""
    import torch

    random = torch.Generator().manual_seed(seed)
    codes = (torch.randn(rows, columns, generator=random) * 100).clamp(-448, 448).to(torch.float8_e4m3fn)
    grid = -(-rows // block[0]), -(-columns // block[1])
    return codes, torch.rand(grid, generator=random) / 100 + 1e-4


def save_qwen3(folder: Path) -> None:
    """A small Qwen3 as transformers would save it in block FP8; norms, embedding and head are not quantised."""
    import torch
    from safetensors.torch import save_file
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=40,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        tie_word_embeddings=False,
    )
    config.architectures = ["Qwen3ForCausalLM"]
    torch.manual_seed(0)
    tensors: dict[str, Any] = {}
    for seed, (name, value) in enumerate(Qwen3ForCausalLM(config).state_dict().items()):
        if name.endswith("_proj.weight"):
            codes, scale = random_weight(value.shape[0], value.shape[1], (BLOCK, BLOCK), seed)
            # Scales as Qwen3-FP8 has them, and as DeepSeek has them.
            scale = scale.to(torch.bfloat16) if seed % 2 else scale
            tensors |= {name: codes, f"{name}_scale_inv": scale}
        else:
            tensors[name] = value.to(torch.bfloat16)
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    quantisation = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}
    content = config.to_dict() | {"dtype": "bfloat16", "quantization_config": quantisation}
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], **content}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')


def test_a_converted_checkpoint_is_what_transformers_dequantises_to(tmp_path: Path) -> None:
    """Bit for bit, in float32, every parameter of a Qwen3."""
    import torch
    import transformers

    save_qwen3(tmp_path / "source")

    convert(tmp_path / "source", tmp_path / "converted", "float32", lambda *_: None)

    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "source",
        dtype=torch.float32,
        quantization_config=transformers.FineGrainedFP8Config(
            dequantize=True, weight_block_size=(BLOCK, BLOCK), modules_to_not_convert=["lm_head"]
        ),
    ).state_dict()
    ours = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "converted").state_dict()
    assert {name: value.dtype for name, value in ours.items()} == dict.fromkeys(theirs, torch.float32)
    assert [name for name in theirs if not torch.equal(theirs[name], ours[name])] == []
    assert len({value.abs().max().item() for value in ours.values()}) > 10, "the weights must differ from each other"


@pytest.mark.parametrize("shape", [(64, 64), (65, 40), (31, 33), (1, 100)])
@pytest.mark.parametrize("block", [(32, 32), (16, 48)])
def test_values_are_code_times_scale_of_the_block(shape: tuple[int, int], block: Block) -> None:
    """Also where the last blocks are cut off, which transformers refuses or takes for smaller blocks."""
    codes, scale = random_weight(*shape, block)

    values = fp8.dequantise(codes, scale, block).numpy()

    wide, steps = codes.float().numpy(), scale.numpy()
    expected = np.empty(shape, np.float32)
    for row in range(shape[0]):
        for column in range(shape[1]):
            expected[row, column] = wide[row, column] * steps[row // block[0], column // block[1]]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected)


def test_rows_may_be_read_in_any_portions() -> None:
    """A portion need not begin where a block does."""
    import torch

    codes, scale = random_weight(70, 40, (32, 32))
    weight = fp8.read(codes, scale, (32, 32))

    portions = [weight.rows(start, min(start + 27, 70)) for start in range(0, 70, 27)]

    assert torch.equal(torch.cat([a * b for a, b in portions]), fp8.dequantise(codes, scale, (32, 32)))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_scale_for_the_whole_tensor(shape: tuple[int, ...]) -> None:
    """Where the config names no blocks."""
    import torch

    codes, _ = random_weight(40, 40, (32, 32))

    values = fp8.dequantise(codes, torch.full(shape, 0.25), None)

    assert torch.equal(values, codes.float() / 4)


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_one_scale_for_each_row(shape: tuple[int, ...]) -> None:
    """In either shape."""
    import torch

    codes, _ = random_weight(40, 30, (32, 32))
    scale = torch.arange(1, 41) / 100

    values = fp8.dequantise(codes, scale.reshape(shape), None)

    assert torch.equal(values, torch.stack([codes[row].float() * scale[row] for row in range(40)]))


def with_scale(value: float) -> Callable[[Any, Any], tuple[Any, Any]]:
    """One of the scales is something else."""

    def change(codes: Any, scale: Any) -> tuple[Any, Any]:
        scale[1, 0] = value
        return codes, scale

    return change


def with_nan_code(codes: Any, scale: Any) -> tuple[Any, Any]:
    """One code is the NaN of this dtype."""
    import torch

    codes.view(torch.uint8)[5, 5] = 0x7F
    return codes, scale


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda codes, scale: (codes, scale[:1]),
            r"scale of shape \[1, 2\] for a weight \[40, 40\], expected \[2, 2\]",
        ),
        (lambda codes, scale: (codes, scale.repeat(2, 1)), r"scale of shape \[4, 2\] .* expected \[2, 2\]"),
        (lambda codes, scale: (codes, scale[:1, :1]), r"scale of shape \[1, 1\] .* expected \[2, 2\]"),
        (lambda codes, scale: (codes, 1 / scale.clamp_max(0.1)), r"its scales are .* to .* stored as reciprocals"),
        (lambda codes, scale: (codes.float(), scale), r"expected codes float8_e4m3fn \[..., out, in\], found float32"),
        (lambda codes, scale: (codes[0], scale), r"expected codes .* found float8_e4m3fn \[40\]"),
        (with_scale(0.0), "its scales are 0 to .* expected finite ones above zero"),
        (with_scale(-0.5), "its scales are -0.5 to "),
        (with_scale(float("nan")), "its scales are nan to nan"),
        (with_scale(float("inf")), "to inf, expected finite"),
        (with_nan_code, "a code is NaN"),
    ],
)
def test_damage_is_refused(damage: Callable[[Any, Any], tuple[Any, Any]], message: str) -> None:
    """Rather than passed on as numbers."""
    codes, scale = damage(*random_weight(40, 40, (32, 32)))

    with pytest.raises(CheckpointError, match=message) as caught:
        fp8.dequantise(codes, scale, (32, 32))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 2), (30,), (1, 40), (40, 2), (40, 1, 1), (0,)])
def test_without_blocks_other_scales_are_refused(shape: tuple[int, ...]) -> None:
    """With both that are possible; a size of blocks that the config does not have is not asked about."""
    import torch

    codes, _ = random_weight(40, 30, (32, 32))

    with pytest.raises(
        CheckpointError, match=r"expected one number, or \[40, 1\] with one a row, as the config has no"
    ):
        fp8.dequantise(codes, torch.ones(shape), None)


def test_of_two_dtypes_it_takes_the_one_that_transformers_takes(tmp_path: Path) -> None:
    """Where config.json has both spellings."""
    folder = tmp_path / "source"
    save_qwen3(folder)
    edit_config(folder, dtype="float16", torch_dtype="bfloat16")

    assert plan(inspect(folder), None, None).dtype == "float16"
