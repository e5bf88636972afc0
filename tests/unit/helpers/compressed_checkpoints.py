"""Checkpoints of compressed-tensors, encoded here code by code, with the values they stand for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.unit.helpers.quantised_checkpoints import EMBEDDING, save_checkpoint

MODULE = "model.layers.0.mlp.up_proj"
Array = NDArray[Any]


@dataclass(frozen=True)
class Kind:
    """A way to quantise."""

    format: str
    strategy: str
    bits: int = 8
    type: str = "int"
    group_size: int | None = None
    block: tuple[int, int] | None = None
    symmetric: bool = True
    actorder: str | None = None
    scales: str = "float32"

    @property
    def packed(self) -> bool:
        """Into words."""
        return self.format == "pack-quantized"

    @property
    def config(self) -> dict[str, Any]:
        """As llm-compressor writes it."""
        weights = {
            "num_bits": self.bits,
            "type": self.type,
            "strategy": self.strategy,
            "group_size": self.group_size,
            "block_structure": self.block,
            "symmetric": self.symmetric,
            "actorder": self.actorder,
            "dynamic": False,
        }
        return {
            "quant_method": "compressed-tensors",
            "format": self.format,
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
            "ignore": ["lm_head"],
            "kv_cache_scheme": None,
            "quantization_status": "compressed",
        }

    def cell(self, outputs: int, inputs: int) -> tuple[int, int]:
        """Rows and columns that share a scale."""
        return {"tensor": (outputs, inputs), "channel": (1, inputs), "group": (1, self.group_size or 0)}.get(
            self.strategy, self.block or (0, 0)
        )


GROUP = Kind("pack-quantized", "group", 4, group_size=16)
KINDS = {
    "int8, a scale a channel": Kind("int-quantized", "channel", scales="bfloat16"),
    "int8, one scale": Kind("int-quantized", "tensor"),
    "int8, with zero points": Kind("int-quantized", "channel", symmetric=False),
    "FP8, one scale": Kind("float-quantized", "tensor", type="float", scales="bfloat16"),
    "FP8, a scale a channel": Kind("float-quantized", "channel", type="float"),
    "FP8 in blocks": Kind("float-quantized", "block", type="float", block=(16, 24)),
    "FP8, naive": Kind("naive-quantized", "channel", type="float", scales="float16"),
    "W4A16 in groups": Kind("pack-quantized", "group", 4, group_size=16, scales="bfloat16"),
    "W4A16 by channel": Kind("pack-quantized", "channel", 4, scales="float16"),
    "W4A16 with zero points": Kind("pack-quantized", "group", 4, group_size=32, symmetric=False),
    "W4A16 by channel with zero points": Kind("pack-quantized", "channel", 4, symmetric=False),
    "W4A16 in order of activations": Kind("pack-quantized", "group", 4, group_size=16, actorder="group"),
    "W4A16 calibrated in order": Kind("pack-quantized", "group", 4, group_size=16, actorder="weight"),
    "W8A16 in groups": Kind("pack-quantized", "group", 8, group_size=32, symmetric=False, actorder="dynamic"),
}


def encode(kind: Kind, shape: tuple[int, int] = (44, 64), seed: int = 0) -> tuple[dict[str, Any], Array]:
    """Tensors of a weight by the ends of their names, and its values, float32 [outputs, inputs]."""
    import torch

    outputs, inputs = shape
    rng = np.random.default_rng(seed)
    height, width = kind.cell(outputs, inputs)
    grid = (-(-outputs // height), -(-inputs // width))
    half = 1 << (kind.bits - 1)
    zeros = rng.integers(-half, half, grid) if not kind.symmetric else np.zeros(grid, int)
    scale = torch.from_numpy(rng.uniform(1e-4, 5e-3, grid)).to(getattr(torch, kind.scales))
    order = np.arange(inputs) // width
    if kind.actorder in ("group", "dynamic"):
        order = rng.permutation(order)
    codes = rng.integers(-half, half, shape)
    stored: Any = torch.from_numpy(codes.astype(np.int8))
    if kind.type == "float":
        stored = torch.from_numpy(rng.normal(size=shape) * 100).to(torch.float8_e4m3fn)
        codes = stored.double().numpy()
    values = np.empty(shape, np.float32)
    for row in range(outputs):
        for column in range(inputs):
            at = row // height, int(order[column])
            values[row, column] = np.float32((float(codes[row, column]) - float(zeros[at])) * scale[at].double().item())
    tensors: dict[str, Any] = {"weight_scale": scale.reshape(1) if kind.strategy == "tensor" else scale}
    if kind.packed:
        tensors |= {"weight_packed": packed(codes, kind.bits), "weight_shape": torch.tensor(shape)}
    else:
        tensors["weight"] = stored
    if not kind.symmetric:
        plain = torch.from_numpy(zeros.astype(np.int8))
        tensors["weight_zero_point"] = packed(zeros.T, kind.bits).T.contiguous() if kind.packed else plain
    if kind.actorder in ("group", "dynamic"):
        tensors["weight_g_idx"] = torch.from_numpy(order.astype(np.int32))
    return tensors, values


def packed(codes: Array, bits: int) -> Any:
    """Signed codes [n, m] as int32 words [n, ceil(m * bits / 32)], by Python's integers; the last may be part empty."""
    import torch

    each, half = 32 // bits, 1 << (bits - 1)
    rows = [[int(code) + half for code in row] for row in codes]
    words = [
        [sum(code << bits * place for place, code in enumerate(row[at : at + each])) for at in range(0, len(row), each)]
        for row in rows
    ]
    return torch.from_numpy(np.array(words, np.uint32).view(np.int32))


def save_kind(folder: Path, kind: Kind = GROUP, shape: tuple[int, int] = (44, 64), seed: int = 0) -> tuple[Path, Array]:
    """A checkpoint of one weight beside an embedding, and the weight's values."""
    import torch

    tensors, values = encode(kind, shape, seed)
    named = {f"{MODULE}.{end}": tensor for end, tensor in tensors.items()}
    embedding = torch.randn(10, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    config = {"vocab_size": 10, "dtype": "float32", "quantization_config": kind.config}
    return save_checkpoint(folder, named | {EMBEDDING: embedding}, config), values
