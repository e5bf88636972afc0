"""AWQ checkpoints, packed code by code with Python's integers."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.unit.helpers.quantised_checkpoints import EMBEDDING, save_checkpoint

Array = NDArray[Any]
MODULE = "model.layers.0.mlp.up_proj"
INPUTS, OUTPUTS = 32, 24
# AutoAWQ, awq/modules/linear/gemm.py: place i of a word holds column order_map[i] of its eight.
ORDER_MAP = (0, 2, 4, 6, 1, 3, 5, 7)


def packed(codes: Array) -> Array:
    """Codes [m, 8 n] as int32 words [m, n]."""
    rows = []
    for row in codes.tolist():
        words = [
            sum(row[at + column] << (4 * place) for place, column in enumerate(ORDER_MAP))
            for at in range(0, len(row), 8)
        ]
        rows.append([word - (1 << 32) if word >> 31 else word for word in words])
    return np.array(rows, dtype=np.int32)


def random_parts(rng: np.random.Generator, group_size: int) -> tuple[dict[str, Any], Array]:
    """A weight's tensors by the ends of their names, and its values [outputs, inputs], one by one."""
    import torch

    size = INPUTS if group_size == -1 else group_size
    codes = rng.integers(0, 16, (INPUTS, OUTPUTS))
    zeros = rng.integers(0, 16, (INPUTS // size, OUTPUTS))
    scales = rng.uniform(1e-3, 0.1, zeros.shape).astype(np.float16)
    values = np.empty((OUTPUTS, INPUTS), np.float32)
    for out, at in np.ndindex(values.shape):
        values[out, at] = float(codes[at, out] - zeros[at // size, out]) * float(scales[at // size, out])
    parts = {
        "qweight": torch.from_numpy(packed(codes)),
        "qzeros": torch.from_numpy(packed(zeros)),
        "scales": torch.from_numpy(scales),
    }
    return parts, values


def awq_options(group_size: int = 16) -> dict[str, Any]:
    """As AutoAWQ writes them."""
    return {"quant_method": "awq", "bits": 4, "group_size": group_size, "zero_point": True, "version": "gemm"}


def save_awq(folder: Path, group_size: int = 16, seed: int = 0) -> Path:
    """One AWQ weight beside an embedding."""
    import torch

    parts, _ = random_parts(np.random.default_rng(seed), group_size)
    tensors = {f"{MODULE}.{part}": tensor for part, tensor in parts.items()}
    tensors[EMBEDDING] = torch.randn(10, 16, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)
    config = {"vocab_size": 10, "dtype": "float32", "quantization_config": awq_options(group_size)}
    return save_checkpoint(folder, tensors, config)
