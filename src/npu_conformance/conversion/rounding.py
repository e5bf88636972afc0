"""What it costs to write float32 values in a shorter dtype, measured while they are written."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch


@dataclass
class _Range:
    """Least, greatest and mean of everything added."""

    least: float = math.inf
    greatest: float = -math.inf
    total: float = 0.0
    count: int = 0

    def add(self, values: "torch.Tensor") -> None:
        import torch

        self.least = min(self.least, values.min().item())
        self.greatest = max(self.greatest, values.max().item())
        self.total += values.sum(dtype=torch.float64).item()
        self.count += values.numel()


@dataclass
class Rounding:
    """Rounds a tensor to a dtype, block by block, and keeps account of it."""

    dtype: "torch.dtype"
    _codes: _Range = field(default_factory=_Range)
    _scales: _Range = field(default_factory=_Range)
    _worst: float = 0.0
    _errors: float = 0.0
    _squares: float = 0.0
    _count: int = 0

    def product(self, codes: "torch.Tensor", scales: "torch.Tensor") -> "torch.Tensor":
        """The rounded values of a block of codes and scales, both float32 of the same shape."""
        self._codes.add(codes)
        self._scales.add(scales)
        return self.round(codes * scales)

    def round(self, values: "torch.Tensor") -> "torch.Tensor":
        """The rounded values of a block.

        Raises:
            CheckpointError: one of them is not finite, or not in the dtype.
        """
        import torch

        rounded = values.to(self.dtype)
        if not bool(torch.isfinite(rounded).all()):
            raise CheckpointError(
                f"it holds {values.min().item():g} to {values.max().item():g}, but {str(self.dtype).split('.')[1]} "
                f"ends at {torch.finfo(self.dtype).max:g}: convert to a dtype of wider range, such as bfloat16"
            )
        error = values - rounded.to(values.dtype)
        self._worst = max(self._worst, error.abs().max().item())
        self._errors += torch.linalg.vector_norm(error, dtype=torch.float64).item() ** 2
        self._squares += torch.linalg.vector_norm(values, dtype=torch.float64).item() ** 2
        self._count += values.numel()
        return rounded

    def figures(self) -> dict[str, float]:
        """What was found, by name; codes and scales only where there were some."""
        found = {
            "rms": math.sqrt(self._squares / self._count),
            "max_absolute_error": self._worst,
            "relative_rms_error": math.sqrt(self._errors / self._squares) if self._squares else 0.0,
        }
        if self._codes.count:
            found |= {"min_code": self._codes.least, "max_code": self._codes.greatest}
            found |= {
                "min_scale": self._scales.least,
                "mean_scale": self._scales.total / self._scales.count,
                "max_scale": self._scales.greatest,
            }
        return found
