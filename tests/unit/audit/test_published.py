"""The independent reading of published checkpoints, against weights that are made up element by element."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.audit import weights
from npu_conformance.audit.formats.fp8 import E4M3FN
from npu_conformance.audit.published import parameter_names, published_state_dict, read_published
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.published_checkpoints import (
    fp8_codes,
    fp8_tensors,
    fp8_values,
    gptq_config,
    gptq_tensors,
    packed,
    write_checkpoint,
)

Q = "model.layers.0.self_attn.q_proj"


def test_every_fp8_code_is_torchs() -> None:
    """All 256; one of the zeros is negative, two codes are NaN."""
    import torch

    expected = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().numpy()

    np.testing.assert_array_equal(E4M3FN, expected)
    assert np.signbit(E4M3FN[0x80])
    assert np.isnan(E4M3FN).sum() == 2


@pytest.mark.parametrize("chunk", [1 << 21, 50])
def test_fp8_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Blocks at the edges are smaller; how many rows are made at once does not matter."""
    import torch

    monkeypatch.setattr(weights, "_CHUNK", chunk)
    codes, scale = fp8_codes((10, 21)), np.random.default_rng(1).uniform(0.5, 2, (3, 3)).astype(np.float32)
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [4, 8]}}
    unused = {f"{Q}.input_scale": torch.ones(1), f"{Q}.activation_scale": torch.ones(1)}
    checkpoint = write_checkpoint(tmp_path, config, fp8_tensors(Q, codes, scale) | unused)
    values = fp8_values(codes)
    expected = [[values[row, column] * scale[row // 4, column // 8] for column in range(21)] for row in range(10)]

    found = read_published(checkpoint, f"{Q}.weight")

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))
    assert parameter_names(checkpoint) == [f"{Q}.weight"]


@pytest.mark.parametrize("shape", [(), (1,), (6, 1)])
def test_fp8_without_blocks(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """One scale a tensor, or one a row."""
    codes, scale = fp8_codes((6, 5)), np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)
    checkpoint = write_checkpoint(tmp_path, {}, fp8_tensors(Q, codes, np.asarray(scale), "weight_scale"))

    np.testing.assert_array_equal(read_published(checkpoint, f"{Q}.weight"), fp8_values(codes) * scale)


def test_fp8_experts_in_one_tensor(tmp_path: Path) -> None:
    """Every expert has its own grid of blocks."""
    codes, scale = fp8_codes((3, 6, 8)), np.random.default_rng(1).uniform(0.5, 2, (3, 2, 2)).astype(np.float32)
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [4, 4]}}
    tensors = fp8_tensors("experts", codes, scale)
    checkpoint = write_checkpoint(tmp_path, config, tensors)
    expected = fp8_values(codes)
    for expert, row, column in np.ndindex(expected.shape):
        expected[expert, row, column] *= scale[expert, row // 4, column // 4]

    np.testing.assert_array_equal(read_published(checkpoint, "experts.weight"), expected)


def test_fp8_is_what_transformers_reads(tmp_path: Path) -> None:
    """Every parameter of a small model, to the bit."""
    import torch
    from transformers import AutoModelForCausalLM, FineGrainedFP8Config, Qwen3Config, Qwen3ForCausalLM

    quantization = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [32, 32]}
    config = Qwen3Config(
        vocab_size=50, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(3)
    tensors: dict[str, Any] = {}
    for name, tensor in Qwen3ForCausalLM(config).state_dict().items():
        if "proj" not in name:
            tensors[name] = tensor.bfloat16()
            continue
        grid = tuple(-(-side // 32) for side in tensor.shape)
        layer = name.removesuffix(".weight")
        tensors |= fp8_tensors(layer, fp8_codes(tuple(tensor.shape)), np.random.default_rng(2).uniform(0.001, 2, grid))
    content = config.to_dict() | {"architectures": ["Qwen3ForCausalLM"], "quantization_config": quantization}
    checkpoint = write_checkpoint(tmp_path, content, tensors)
    oracle = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, quantization_config=FineGrainedFP8Config(dequantize=True)
    ).state_dict()

    found = dict(published_state_dict(checkpoint))

    assert sorted(found) == sorted(oracle)
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, oracle[name], rtol=0, atol=0)


@pytest.mark.parametrize("chunk", [1 << 21, 70])
@pytest.mark.parametrize(
    ("bits", "version", "group_size", "order"),
    [
        *itertools.product((4, 8), ("gptq", "gptq_v2"), (16,), ("absent", "plain", "shuffled")),
        (4, None, -1, "plain"),
        (8, "gptq_v2", -1, "absent"),
        (8, None, 24, "absent"),
    ],
)
def test_gptq(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bits: int,
    version: str | None,
    group_size: int,
    order: str,
    chunk: int,
) -> None:
    """Zero points over their whole range, so that version 1 wraps; the last group may be short."""
    monkeypatch.setattr(weights, "_CHUNK", chunk)
    rng = np.random.default_rng(4)
    inputs, outputs, most = 64, 24, 1 << bits
    groups = 1 if group_size == -1 else -(-inputs // group_size)
    codes = rng.integers(0, most, (inputs, outputs))
    zeros = rng.integers(0, most, (groups, outputs))
    zeros[0, :2] = 0, most - 1
    scales = rng.uniform(0.001, 0.01, (groups, outputs)).astype(np.float16)
    g_idx = [0 if group_size == -1 else row // group_size for row in range(inputs)]
    if order == "shuffled":
        g_idx = rng.permutation(g_idx).tolist()
    stored = zeros if version == "gptq_v2" else (zeros - 1) % most
    more = {} if version is None else {"checkpoint_format": version}
    checkpoint = write_checkpoint(
        tmp_path,
        gptq_config(bits, group_size, sym=False, **more),
        gptq_tensors(Q, bits, codes, stored, scales, None if order == "absent" else g_idx),
    )
    expected = np.zeros((outputs, inputs), dtype=np.float32)
    for row, column in np.ndindex(inputs, outputs):
        group = g_idx[row]
        expected[column, row] = float(scales[group, column]) * (int(codes[row, column]) - int(zeros[group, column]))

    assert parameter_names(checkpoint) == [f"{Q}.weight"]
    np.testing.assert_array_equal(read_published(checkpoint, f"{Q}.weight"), expected)


def symmetric(folder: Path, config: dict[str, Any], **replaced: Any) -> Checkpoint:
    """A symmetric 8-bit layer with two groups, some tensors replaced or, by None, left out."""
    import torch

    rng = np.random.default_rng(6)
    codes, scales = rng.integers(0, 256, (32, 8)), np.full((2, 8), 0.5)
    codes[0] = 0
    tensors = gptq_tensors(Q, 8, codes, np.full((2, 8), 127), scales, [row // 16 for row in range(32)])
    tensors |= {f"{Q}.{part}": value for part, value in replaced.items()}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return write_checkpoint(folder, config, tensors | {f"{Q}.bias": torch.zeros(8)})


def test_gptq_settings_in_a_file_of_their_own(tmp_path: Path) -> None:
    """As AutoGPTQ writes them; a bias stays a parameter."""
    checkpoint = symmetric(tmp_path, {})
    (tmp_path / "quantize_config.json").write_text(json.dumps({"bits": 8, "group_size": 16, "sym": True}))

    assert parameter_names(checkpoint) == [f"{Q}.bias", f"{Q}.weight"]
    assert (read_published(checkpoint, f"{Q}.weight")[:, 0] == -64).all()


def zeros_of_version_two() -> dict[str, Any]:
    """Stored zero points of 128."""
    import torch

    return {"qzeros": torch.from_numpy(packed(np.full((8, 2), 128), 8).T.copy())}


def far_group() -> dict[str, Any]:
    """A group that there is not."""
    import torch

    return {"g_idx": torch.full((32,), 2, dtype=torch.int32)}


@pytest.mark.parametrize(
    ("settings", "replaced", "message"),
    [
        ({"quant_method": "hqq"}, dict, "quant_method is 'hqq'"),
        ({"bits": 3}, dict, "bits is 3; GPTQ weights can be read where it is 4 or 8"),
        ({"checkpoint_format": "marlin"}, dict, "checkpoint_format is 'marlin'"),
        ({"bits": 4}, dict, r"q_proj.scales is for \(2, 8\) .*expected \(4, 8\)"),
        ({"group_size": 8}, dict, r"q_proj.scales is for \(2, 8\) .*expected \(4, 8\)"),
        ({}, lambda: {"qzeros": None}, "q_proj.qzeros is missing"),
        ({}, zeros_of_version_two, "q_proj.qzeros holds 128, its config says sym and gptq, for which 127 is expected"),
        ({}, far_group, r"q_proj.g_idx .* 2 to 2; expected a group below 2"),
    ],
)
def test_gptq_that_cannot_be_read(
    tmp_path: Path, settings: dict[str, Any], replaced: Callable[[], dict[str, Any]], message: str
) -> None:
    """Refused in one line, never guessed."""
    config = gptq_config(**({"bits": 8, "group_size": 16, "sym": True} | settings))
    checkpoint = symmetric(tmp_path, config, **replaced())

    with pytest.raises(CheckpointError, match=message) as refusal:
        read_published(checkpoint, f"{Q}.weight")
    assert "\n" not in str(refusal.value)


def test_fp8_that_cannot_be_read(tmp_path: Path) -> None:
    """No scale, or one of another block size."""
    tensors = fp8_tensors(Q, fp8_codes((8, 8)), np.ones((2, 2)))
    config = {"quantization_config": {"weight_block_size": [4, 2]}}
    with pytest.raises(CheckpointError, match=r"has shape \(2, 2\); expected \(2, 4\)"):
        read_published(write_checkpoint(tmp_path, config, tensors), f"{Q}.weight")

    del tensors[f"{Q}.weight_scale_inv"]
    with pytest.raises(CheckpointError, match="expected a matrix with a scale"):
        read_published(write_checkpoint(tmp_path, config, tensors), f"{Q}.weight")


def test_plain_weights(tmp_path: Path) -> None:
    """Every floating-point number is kept as it is; a scale beside a plain tensor is nothing special."""
    import torch

    torch.manual_seed(1)
    tensors = {
        "norm.weight": torch.randn(9).bfloat16(),
        "half.weight": torch.randn(3, 4).half(),
        "full.weight": torch.randn(2, 2, 2),
        "one": torch.tensor(2.5),
        "norm.weight_scale_inv": torch.ones(1),
    }
    checkpoint = write_checkpoint(tmp_path, {}, tensors)

    found = dict(published_state_dict(checkpoint))

    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], tensor.float())


def test_neither_unknown_dtypes_nor_unknown_names(tmp_path: Path) -> None:
    """Integers without a format are no weights."""
    import torch

    checkpoint = write_checkpoint(tmp_path, {}, {"a.weight": torch.zeros(2, 2, dtype=torch.int8)})

    with pytest.raises(CheckpointError, match=r"a\.weight is I8; expected F32"):
        read_published(checkpoint, "a.weight")
    with pytest.raises(CheckpointError, match=r"b\.weight is not among its parameters"):
        read_published(checkpoint, "b.weight")
