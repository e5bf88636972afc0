"""Codes that are packed into int32 words, the lowest bits first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def unpack(words: "torch.Tensor", bits: int) -> "torch.Tensor":
    """[rows, words] int32 to [rows, words * 32 / bits] int32; `bits` divides 32."""
    import torch

    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    return ((words.unsqueeze(-1) >> shifts) & (2**bits - 1)).flatten(1)
