"""A tensor of a checkpoint."""

from dataclasses import dataclass
from math import prod
from pathlib import Path


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
