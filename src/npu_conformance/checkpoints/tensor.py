"""A tensor of a checkpoint."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits an element takes in a file, by safetensors' name of the dtype: all that the library knows."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as a header declares it."""

    shape: tuple[int, ...]
    dtype: str
    """safetensors' name, such as `BF16`."""
    file: Path

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)
