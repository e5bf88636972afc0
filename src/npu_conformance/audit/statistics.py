"""What one stored tensor is made of: range, spread, and whether it looks like trained weights."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from npu_conformance.audit.outliers import outliers

if TYPE_CHECKING:
    import torch

_CHUNK = 1 << 20
"""Elements looked at together."""
GROUP = 32
"""Weights whose sizes are compared with each other."""
_SAMPLED = 1 << 11
"""Groups a chunk whose shape is looked at."""
_ITERATIONS = 30
_FLOATS = re.compile(r"F64|F32|F16|BF16|F8_E4M3|F8_E5M2|F8_E8M0")
_CODES = re.compile(r"I8|F8_E4M3|F8_E5M2|I32")
_PACKED = (".qweight", ".qzeros", ".weight_packed")
_SCALE = re.compile(r"(.*\.)?(scales|(weight|input|deq)_scale\w*|\w+_scale_inv)")
_LINEAR = re.compile(r"(?!.*embed).*(\.weight|_proj)")


class TensorStatistics(BaseModel):
    """A stored tensor in numbers, of its finite elements."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")

    name: str
    shape: tuple[int, ...]
    dtype: str
    """safetensors' name, such as `BF16`."""
    of: Literal["values", "codes"]
    """Codes are what a quantised weight is stored as, before its scale."""
    mean: float
    std: float
    min: float
    max: float
    near_zero: float | None = None
    """Share of a linear layer's weights within a quarter of the greatest of their 32."""
    operator_norm: float | None = None
    """Greatest singular value, where it was computed."""


@dataclass
class Measured:
    """A tensor's statistics and the first places where it is wrong."""

    statistics: TensorStatistics
    not_finite: tuple[int, ...] | None
    """Index of the first NaN or infinity."""
    not_positive: tuple[int, ...] | None
    """Of scales: index of the first that is zero or negative."""
    outlier: tuple[int, ...] | None
    """Of values: index of the first that is far beyond the others (see `outliers`)."""


@dataclass
class _Sums:
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    near: int = 0
    sampled: int = 0
    firsts: dict[str, int] = field(default_factory=dict)
    """Position of the first element of a kind, in the flattened tensor."""


def measurable(name: str, dtype: str, bits: int | None) -> bool:
    """Whether a tensor's elements can be read as numbers.

    Args:
        name: of the tensor.
        dtype: safetensors' name.
        bits: of packed codes; None where they are not known.
    """
    if name.endswith(_PACKED):
        return dtype == "I32" and bits in (2, 4, 8)
    return dtype == "I8" or _FLOATS.fullmatch(dtype) is not None


def measure(tensor: "torch.Tensor", name: str, dtype: str, bits: int | None) -> Measured:
    """Statistics of a tensor that is `measurable` and not empty, by rows, so that no copy of it is made.

    Args:
        tensor: of any shape.
        name: its name, which says whether it is packed codes or a linear layer's weight.
        dtype: safetensors' name.
        bits: of packed codes.
    """
    matrix = _matrix(tensor)
    packed = bits if name.endswith(_PACKED) else None
    codes = packed is not None or _CODES.fullmatch(dtype) is not None
    linear = packed is None and matrix.shape[1] >= GROUP and tensor.ndim > 1 and _LINEAR.fullmatch(name) is not None
    sums = _Sums()
    for start, chunk in _chunks(matrix, packed):
        _add(sums, start, chunk, linear, _SCALE.fullmatch(name) is not None)
        if not codes and (beyond := outliers(chunk, matrix=tensor.ndim > 1)) is not None:
            sums.firsts.setdefault("outlier", start + int(beyond.argmax()))
    mean = sums.total / sums.count if sums.count else math.nan
    variance = sums.squares / sums.count - mean**2 if sums.count else math.nan
    statistics = TensorStatistics(
        name=name,
        shape=tuple(tensor.shape),
        dtype=dtype,
        of="codes" if codes else "values",
        mean=mean,
        std=math.sqrt(max(variance, 0.0)) if sums.count else math.nan,
        min=sums.low,
        max=sums.high,
        near_zero=sums.near / sums.sampled if sums.sampled else None,
    )
    places = {kind: index_of(first, tuple(tensor.shape)) for kind, first in sums.firsts.items()}
    return Measured(statistics, *(places.get(kind) for kind in ("not finite", "not positive", "outlier")))


def _matrix(tensor: "torch.Tensor") -> "torch.Tensor":
    return tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else tensor.reshape(1, -1)


def _chunks(matrix: "torch.Tensor", bits: int | None) -> Iterator[tuple[int, "torch.Tensor"]]:
    """Position of a chunk's first element, and the chunk in float32 (float64 if it is that)."""
    import torch

    rows = max(1, _CHUNK // matrix.shape[1])
    wide = torch.float64 if matrix.dtype == torch.float64 else torch.float32
    for start in range(0, matrix.shape[0], rows):
        chunk = matrix[start : start + rows]
        if bits is not None:
            shifts = torch.arange(0, 32, bits, dtype=torch.int32)
            chunk = ((chunk.unsqueeze(-1) >> shifts) & (2**bits - 1)).flatten(1)
        yield start * matrix.shape[1], chunk.to(wide)


def _add(sums: _Sums, start: int, chunk: "torch.Tensor", linear: bool, scale: bool) -> None:
    import torch

    total, values = float(chunk.sum()), chunk
    # A sum that is finite has finite terms only; so there is no need to look at each.
    if not math.isfinite(total) and not bool((finite := torch.isfinite(chunk)).all()):
        sums.firsts.setdefault("not finite", start + _first(~finite))
        values = chunk[finite]
        if not values.numel():
            return
        total = float(values.sum())
    elif linear:
        near, sampled = _near_zero(chunk)
        sums.near += near
        sums.sampled += sampled
    if scale and bool((low := chunk <= 0).any()):
        sums.firsts.setdefault("not positive", start + _first(low))
    least, greatest = values.aminmax()
    sums.count += values.numel()
    sums.total += total
    sums.squares += float(values.square().sum())
    sums.low = min(sums.low, float(least))
    sums.high = max(sums.high, float(greatest))


def _first(mask: "torch.Tensor") -> int:
    return int(mask.flatten().float().argmax())


def _near_zero(chunk: "torch.Tensor") -> tuple[int, int]:
    """How many weights lie within a quarter of their group's greatest, and how many were looked at."""
    columns = chunk.shape[1] // GROUP * GROUP
    groups = chunk[:, :columns].reshape(-1, GROUP)
    groups = groups[:: max(1, len(groups) // _SAMPLED)].abs().sort(dim=1).values
    peak = groups[:, -1:]
    # Two magnitudes say nothing of a shape: such weights are binary, or have two bits.
    shaped = (groups.diff(dim=1) > peak / 1000).sum(dim=1) > 1
    near = groups[shaped] <= peak[shaped] / 4 * 1.001
    return int(near.sum()), near.numel()


def index_of(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Index of an element that is at this position in the flattened tensor."""
    index: list[int] = []
    for size in reversed(shape):
        position, place = divmod(position, size)
        index.insert(0, place)
    return tuple(index)


def operator_norm(tensor: "torch.Tensor") -> float:
    """Greatest singular value of a matrix, by power iterations from a fixed start; a lower bound, close to it.

    Args:
        tensor: [out, in], of any float dtype.
    """
    import torch

    vector = torch.randn(tensor.shape[1], generator=torch.Generator().manual_seed(0))
    norm = vector.norm()
    for _ in range(_ITERATIONS):
        vector = vector / norm
        image = torch.zeros_like(vector)
        for _, chunk in _chunks(tensor, None):
            rows = chunk.float()
            image += rows.T @ (rows @ vector)
        vector, norm = image, image.norm()
        if not norm:
            return 0.0
    return math.sqrt(float(norm))
