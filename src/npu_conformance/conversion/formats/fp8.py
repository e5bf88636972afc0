"""FP8 weights: `float8_e4m3fn` codes with a scale for each block, for each row, or one for the whole tensor."""

from functools import partial
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.quantisation.schema import Block, Fp8Options, require
from npu_conformance.conversion.scheme import Quantised, Rows, Scheme, Stored, check_scales, describe
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_CODES = "F8_E4M3"
_OTHER_CODES = ("F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
# Behind the name of a weight. DeepSeek has `scale` in place of `weight` as well.
_SCALES = ("_scale_inv", "_scale")
_ACTIVATION_SCALES = ("input_scale", "activation_scale")


def dequantise(weight: "torch.Tensor", scale: "torch.Tensor", block: Block | None) -> "torch.Tensor":
    """Each code times the scale of its block, rounded once, to float32.

    As DeepSeek-V3's `inference/kernel.py` (`weight_dequant`) does it. Blocks start at row and column 0 and the last
    ones may be cut off.

    Args:
        weight: [out, in], or [experts, out, in], float8_e4m3fn.
        scale: [ceil(out / block[0]), ceil(in / block[1])]; without blocks one number for all, or [out] or [out, 1];
            of experts with one of these each; of any float dtype.
        block: rows and columns that share a scale; None where the config names none.

    Returns:
        The weight's shape, float32; rows are those of all experts, one behind the other.

    Raises:
        CheckpointError: a code is NaN, or a scale is of the wrong shape, zero, negative or not finite.
    """
    codes, scales = read(weight, scale, block).rows(0, weight.shape[:-1].numel())
    return (codes * scales).reshape(weight.shape)


def read(weight: "torch.Tensor", scale: "torch.Tensor", block: Block | None) -> Quantised:
    """The same for a part of the rows at a time (see `dequantise`, also for what is raised)."""
    import torch

    if weight.dtype != torch.float8_e4m3fn or weight.ndim < 2:
        raise CheckpointError(f"expected codes float8_e4m3fn [..., out, in], found {describe(weight)}")
    *experts, rows, columns = weight.shape
    if block is None:
        single = scale.numel() == 1 and not experts
        block, grid = ((rows, columns), [1, 1]) if single else ((1, columns), [*experts, rows, 1])
        fits = single or list(scale.shape) in (grid[:-1], grid)
        expected = f"one number, or {grid} with one a row, as the config has no weight_block_size"
    else:
        grid = [*experts, -(-rows // block[0]), -(-columns // block[1])]
        fits = list(scale.shape) == grid
        expected = f"{grid} in blocks of {block[0]} x {block[1]}: is weight_block_size right?"
    if not fits:
        raise CheckpointError(
            f"scale of shape {list(scale.shape)} for a weight {list(weight.shape)}, expected {expected}"
        )
    steps = scale.to(torch.float32).reshape(-1, grid[-1])
    check_scales(steps)
    return Quantised(_rows(weight, steps, block), {"block": list(block)})


def _rows(weight: "torch.Tensor", steps: "torch.Tensor", block: Block) -> Rows:
    import torch

    outputs, inputs = weight.shape[-2:]
    down = -(-outputs // block[0])
    matrix = weight.reshape(-1, inputs)
    across = torch.arange(inputs) // block[1]

    def rows(start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor]":
        codes = matrix[start:stop].to(torch.float32)
        if bool(codes.isnan().any()):
            raise CheckpointError("a code is NaN: download the model again")
        row = torch.arange(start, stop)
        return codes, steps[row // outputs * down + row % outputs // block[0]][:, across]

    return rows


def find(checkpoint: Checkpoint, quantisation: dict[str, Any], where: str) -> Scheme:
    """The FP8 weights of a checkpoint.

    Args:
        checkpoint: an inspected folder.
        quantisation: its `quantization_config`.
        where: the file and key that is, for messages.

    Raises:
        CheckpointError: a weight has no scale, a scale has no weight, or the block size is malformed.
    """
    block = require(Fp8Options, quantisation, where).weight_block_size
    for name, tensor in checkpoint.tensors.items():
        if tensor.dtype in _OTHER_CODES:
            raise CheckpointError(
                f"{tensor.file}: {name} is {tensor.dtype}, only {_CODES} can be converted: take a checkpoint in E4M3"
            )
    weights = {
        name: Stored(tensor.shape, (name, _scale(checkpoint, name)), partial(read, block=block))
        for name, tensor in checkpoint.tensors.items()
        if tensor.dtype == _CODES
    }
    parts = {part for stored in weights.values() for part in stored.parts}
    for name in checkpoint.tensors:
        if name.endswith(("_scale_inv", "weight_scale")) and name not in parts:
            raise CheckpointError(
                f"{checkpoint.tensors[name].file}: {name} scales no float8_e4m3fn tensor: download the model again"
            )
    modules = {name.removesuffix("weight") for name in weights}
    unused = {module + suffix for module in modules for suffix in _ACTIVATION_SCALES} & set(checkpoint.tensors)
    options = {"weight_block_size": None if block is None else list(block)}
    return Scheme("fp8", options, weights, frozenset(unused))


def _scale(checkpoint: Checkpoint, name: str) -> str:
    file = checkpoint.tensors[name].file
    places = [*(name + end for end in _SCALES), f"{name.removesuffix('weight')}scale"]
    found = [scale for scale in places if scale in checkpoint.tensors]
    if len(found) > 1:
        raise CheckpointError(f"{file}: {name} has {' and '.join(found)}, expected one scale: download the model again")
    if not found:
        raise CheckpointError(f"{file}: {name} is float8_e4m3fn, but there is no {places[0]}: download the model again")
    return found[0]
