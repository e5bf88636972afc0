"""What is said of tensors whose bytes look damaged."""

import re
from math import prod
from typing import TYPE_CHECKING

from npu_conformance.audit.damage import Damage, find_damage
from npu_conformance.audit.statistics import index_of
from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.checkpoints.tensor import Tensor

if TYPE_CHECKING:
    import torch

REMEDY = (
    "compare the file's digest with the published one (`npu-conformance doctor FOLDER --digests`), or download it again"
)
_DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "I32": 4}
_CODES = ("F8_E4M3", "F8_E5M2", "I8", "U8", "I32")
# Indices, zero points and scales are even or empty by their making.
_NO_WEIGHT = re.compile(r".*(g_idx|qzeros|zero_point|zero|offset|_shape|scales?|scale_\w+|_ids|perm|index|mask|table)")
_ROW = 512
"""Bytes of what counts as a row at least; of convolutions it has several axes."""
_SAID = {
    "zeros": "are all zero",
    "repeated": "are the same as those from {source} on",
    "arbitrary": "are not made as the others are: all values of a byte are equally frequent",
}


def may_show_damage(name: str, tensor: Tensor) -> bool:
    """Whether a tensor's bytes say something: those of a matrix of weights or codes."""
    return len(tensor.shape) > 1 and tensor.dtype in _DTYPES and _NO_WEIGHT.fullmatch(name) is None


def damage_findings(name: str, dtype: str, tensor: "torch.Tensor") -> list[Finding]:
    """Of a tensor that `may_show_damage`; a warning each, for a model may be made so.

    Args:
        name: its name.
        dtype: safetensors' name.
        tensor: as it is stored.
    """
    import torch

    raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    size = _DTYPES[dtype]
    trailing = (size * prod(tensor.shape[axis:]) for axis in range(tensor.ndim - 1, 0, -1))
    row = next((one for one in trailing if one >= _ROW), len(raw))
    found = find_damage(raw, row, codes=dtype in _CODES)
    return [Finding("warning", name, f"{_told(one, tuple(tensor.shape), size)}: {REMEDY}") for one in found]


def _told(damage: Damage, shape: tuple[int, ...], size: int) -> str:
    start, last, source = (list(index_of(one // size, shape)) for one in (damage.start, damage.stop - 1, damage.source))
    return f"{damage.stop - damage.start} bytes, {start} to {last}, {_SAID[damage.what].format(source=source)}"
