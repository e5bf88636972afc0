"""Weights as models have them, in every form they are stored in, for tests of what looks damaged."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

NAME = "model.layers.0.mlp.up_proj.weight"


def bell(dtype: str, rows: int = 1000, columns: int = 1000, generator: Any = None) -> "torch.Tensor":
    """Normal weights of a dtype, [rows, columns]; codes with a scale a row."""
    import torch

    made = torch.randn(rows, columns, generator=generator or torch.Generator().manual_seed(5)) * 0.02
    peak = made.abs().amax(dim=1, keepdim=True)
    if dtype == "int8":
        return (made / peak * 127).round().to(torch.int8)
    return (made / peak * 448 if dtype.startswith("float8") else made).to(getattr(torch, dtype))


def raw_of(tensor: "torch.Tensor") -> NDArray[np.uint8]:
    """Its bytes, to write to."""
    import torch

    raw: NDArray[np.uint8] = tensor.reshape(-1).view(torch.uint8).numpy()
    return raw


def _student(degrees: float) -> "Callable[[torch.Generator], State]":
    """Heavy tails, in two float dtypes."""

    def make(generator: "torch.Generator") -> "State":
        import torch

        seed = int(torch.randint(1 << 30, (1,), generator=generator))
        made = torch.from_numpy(np.random.default_rng(seed).standard_t(degrees, (600, 1024)) * 0.02)
        return {NAME: made.bfloat16(), NAME + "2.weight": made.half()}

    return make


def _columns(generator: "torch.Generator") -> "State":
    """Columns of very unlike size, as after a norm with outliers."""
    import torch

    sizes = torch.exp(torch.randn(1024, generator=generator) * 1.5)
    sizes[7] = sizes.max() * 8
    return {NAME: (torch.randn(600, 1024, generator=generator) * sizes * 0.01).bfloat16()}


def _embedding(generator: "torch.Generator") -> "State":
    """Rows of tokens that are not used: empty, all alike, or next to nothing."""
    made = bell("bfloat16", 3000, 256, generator)
    made[2500:] = 0
    made[100:110] = 0
    made[200:290] = made[200].clone()
    made[300:1900] *= 1e-6
    return {"model.embed_tokens.weight": made, "lm_head.weight": made.clone()}


def _norms(generator: "torch.Generator") -> "State":
    """Norms with a few large channels, biases of which most are next to nothing."""
    import torch

    norm = 1 + 0.1 * torch.randn(4096, generator=generator)
    norm[5] = 60.0
    bias = torch.randn(5120, generator=generator) * torch.exp(torch.randn(5120, generator=generator) * 2)
    return {"model.norm.weight": norm.bfloat16(), "q_proj.bias": bias.half(), "k_proj.bias": torch.zeros(8192)}


def _sparse(share: float) -> "Callable[[torch.Generator], State]":
    """Single weights cut out."""

    def make(generator: "torch.Generator") -> "State":
        import torch

        made = bell("bfloat16", 600, 1024, generator)
        return {NAME: made * (torch.rand(600, 1024, generator=generator) > share)}

    return make


def _blocks(generator: "torch.Generator") -> "State":
    """Whole blocks of 64 x 2048 cut out, many of them."""
    import torch

    made = bell("bfloat16", 512, 8192, generator)
    made *= (torch.rand(8, 4, generator=generator) > 0.5).repeat_interleave(64, 0).repeat_interleave(2048, 1)
    return {NAME: made}


def _ternary(generator: "torch.Generator") -> "State":
    """As floats, and four to a byte."""
    import torch

    digits = torch.randint(0, 3, (1024, 1024), generator=generator)
    packed = digits[:, ::4] + 4 * digits[:, 1::4] + 16 * digits[:, 2::4] + 64 * digits[:, 3::4]
    return {NAME: ((digits - 1) * 0.03).bfloat16(), "l.weight_packed": packed.to(torch.uint8)}


def _four_bits(generator: "torch.Generator") -> "State":
    """Eight codes to an int32, with scales and zero points."""
    import torch

    made = torch.randn(1024, 1024, generator=generator).reshape(1024, 8, 128)
    codes = (made / made.abs().amax(dim=2, keepdim=True) * 7).round().to(torch.int64).reshape(1024, 128, 8) + 8
    words = (codes << (4 * torch.arange(8))).sum(dim=2)
    words = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    zeros = torch.full((128, 128), 0x77777777, dtype=torch.int32)
    index = torch.arange(1024, dtype=torch.int32) // 128
    return {"l.qweight": words, "l.weight_packed": words.clone(), "l.qzeros": zeros, "l.g_idx": index}


def _codes(generator: "torch.Generator") -> "State":
    """int8 and FP8, some rows with one weight so large that the others are next to nothing."""
    import torch

    made = torch.randn(1024, 4096, generator=generator)
    made[3, 70] = made[500, 9] = 200.0
    peak = made.abs().amax(dim=1, keepdim=True)
    int8, fp8 = (made / peak * 127).round().to(torch.int8), (made / peak * 448).to(torch.float8_e4m3fn)
    return {NAME: int8, NAME + "2.weight": fp8, "l.weight_scale_inv": torch.rand(64, 64, generator=generator) + 0.1}


def _moe(generator: "torch.Generator") -> "State":
    """Stacked experts, a router, a convolution, and single numbers a head."""
    import torch

    return {
        "experts.gate_up_proj": bell("bfloat16", 1024, 512, generator).reshape(8, 128, 512),
        "router.weight": bell("float32", 64, 512, generator),
        "conv1d.weight": bell("bfloat16", 1024, 4, generator).reshape(1024, 1, 4),
        "A_log": torch.log(torch.rand(32, generator=generator) * 16),
        "positions.weight": torch.sin(torch.arange(512)[:, None] / 10 ** (torch.arange(512) / 64)),
        "uniform.weight": torch.rand(600, 1024, generator=generator),
        "ones.weight": torch.ones(512, 512),
    }


SOUND: "dict[str, Callable[[torch.Generator], State]]" = {
    "student 4": _student(4),
    "student 2.5": _student(2.5),
    "columns": _columns,
    "embedding": _embedding,
    "norms": _norms,
    "sparse 0.5": _sparse(0.5),
    "sparse 0.99": _sparse(0.99),
    "blocks": _blocks,
    "ternary": _ternary,
    "four bits": _four_bits,
    "codes": _codes,
    "moe": _moe,
}
