"""Weights trained to be ternary, stored as the latents they are rounded from in every forward pass."""

from functools import partial
from typing import TYPE_CHECKING

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.conversion.scheme import Quantised, Scheme, Stored
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

# The linear layers that are trained so; embeddings, head and norms stay as they are.
_SUFFIX = "_proj.weight"
_FLOATS = ("F32", "F16", "BF16")
# Rows looked at together: the test for ternary weights must not need a second copy of a large one.
_ROWS = 256


def fuse(weight: "torch.Tensor", group_size: int) -> "torch.Tensor":
    """Round latents to {-a, 0, a}, where a is the mean magnitude of the group.

    BitNet b1.58's absmean (arXiv 2402.17764, equations 1 to 3), applied to each group of a row. A weight that is
    ternary already comes out smaller, for the mean counts its zeros: see `is_ternary`.

    Args:
        weight: [out, in], any float dtype.
        group_size: neighbouring inputs that share a magnitude; -1: all of a row.

    Returns:
        [out, in], float32.

    Raises:
        CheckpointError: the inputs cannot be divided into such groups, or a weight is not finite.
    """
    codes, scales = _absmean(_grouped(weight, group_size))
    return (codes * scales).reshape(weight.shape)


def is_ternary(weight: "torch.Tensor", group_size: int) -> bool:
    """Whether every group holds one magnitude at most, besides zero (arguments and errors as of `fuse`)."""
    return all(_is_ternary(_grouped(part, group_size)) for part in weight.split(_ROWS))


def read(weight: "torch.Tensor", group_size: int) -> Quantised:
    """A weight for a part of the rows at a time, fused where it is not ternary yet (errors as of `fuse`)."""
    import torch

    ready = is_ternary(weight, group_size)

    def rows(start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor]":
        latents = _grouped(weight[start:stop], group_size)
        codes, scales = _as_stored(latents) if ready else _absmean(latents)
        return codes.flatten(1), torch.broadcast_to(scales, codes.shape).flatten(1)

    return Quantised(rows, {"group_size": group_size, "fused": not ready})


def _grouped(weight: "torch.Tensor", group_size: int) -> "torch.Tensor":
    """[out, groups, size] float32, all finite."""
    import torch

    size = weight.shape[1] if group_size == -1 else group_size
    if size < 1 or weight.shape[1] % size:
        raise CheckpointError(f"{weight.shape[1]} inputs cannot be divided into groups of {group_size}")
    grouped = weight.to(torch.float32).unflatten(1, (-1, size))
    if not bool(torch.isfinite(grouped).all()):
        raise CheckpointError("it holds NaN or Inf: download the model again")
    return grouped


def _is_ternary(grouped: "torch.Tensor") -> bool:
    magnitudes = grouped.abs()
    return bool(((magnitudes == 0) | (magnitudes == magnitudes.amax(-1, keepdim=True))).all())


def _absmean(grouped: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    scales = grouped.abs().mean(-1, keepdim=True)
    # A group of zeros has no mean to divide by, and stays one.
    return (grouped / scales).nan_to_num(0).round().clamp(-1, 1), scales


def _as_stored(grouped: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    return grouped.sign(), grouped.abs().amax(-1, keepdim=True)


def find(checkpoint: Checkpoint, group_size: int) -> Scheme:
    """The linear layers of a checkpoint of latents.

    Args:
        checkpoint: an inspected folder.
        group_size: see `fuse`; no config says it.

    Raises:
        CheckpointError: there are none.
    """
    weights = {
        name: Stored(tensor.shape, (name,), partial(read, group_size=group_size))
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(_SUFFIX) and len(tensor.shape) == 2 and tensor.dtype in _FLOATS
    }
    if not weights:
        raise CheckpointError(f"{checkpoint.folder}: no matrix named *{_SUFFIX} here, so there is nothing to fuse")
    return Scheme("ternary", {"group_size": group_size}, weights, frozenset())
