"""Tensors as they come out of a format of less precision."""

from typing import Any


def in_bits(values: Any, bits: float) -> Any:
    """Values rounded to integers of so many bits, with a scale for each row of the last dimension."""
    levels = 2 ** (bits - 1) - 1
    scale = _largest(values) / levels
    return ((values.float() / scale).round() * scale).to(values.dtype)


def in_fp8(values: Any) -> Any:
    """Values rounded to float8_e4m3fn, with a scale for each row of the last dimension."""
    import torch

    scale = _largest(values) / torch.finfo(torch.float8_e4m3fn).max
    return ((values.float() / scale).to(torch.float8_e4m3fn).float() * scale).to(values.dtype)


def _largest(values: Any) -> Any:
    return values.float().abs().amax(dim=-1, keepdim=True).clamp_min(1e-12)
