"""FP8 weights: `float8_e4m3fn` codes with a scale for each block, or with one for the whole tensor."""

from functools import partial
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.quantisation.schema import Block, Fp8Options, require
from npu_conformance.conversion.scheme import Quantised, Rows, Scheme, Stored, describe
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_DEFAULT_BLOCK: Block = (128, 128)
_CODES = "F8_E4M3"
# What stands for `weight` in the name of a scale; the last one is DeepSeek's.
_SCALES = ("weight_scale_inv", "weight_scale", "scale")
_ACTIVATION_SCALES = ("input_scale", "activation_scale")


def dequantise(weight: "torch.Tensor", scale: "torch.Tensor", block: Block) -> "torch.Tensor":
    """Each code times the scale of its block, rounded once, to float32.

    As DeepSeek-V3's `inference/kernel.py` (`weight_dequant`) does it. Blocks start at row and column 0 and the last
    ones may be cut off.

    Args:
        weight: [out, in], float8_e4m3fn.
        scale: [ceil(out / block[0]), ceil(in / block[1])], or a single number; of any float dtype.
        block: rows and columns that share a scale.

    Returns:
        [out, in], float32.

    Raises:
        CheckpointError: a code is NaN, or a scale is of the wrong shape, zero, negative or not finite.
    """
    codes, scales = read(weight, scale, block).rows(0, weight.shape[0])
    return codes * scales


def read(weight: "torch.Tensor", scale: "torch.Tensor", block: Block) -> Quantised:
    """The same for a part of the rows at a time (see `dequantise`, also for what is raised)."""
    import torch

    if weight.dtype != torch.float8_e4m3fn or weight.ndim != 2:
        raise CheckpointError(f"expected codes float8_e4m3fn [out, in], found {describe(weight)}")
    single = scale.ndim == 0 or scale.shape == (1,)
    grid = [-(-size // step) for size, step in zip(weight.shape, block, strict=True)]
    if not single and list(scale.shape) != grid:
        raise CheckpointError(
            f"scale of shape {list(scale.shape)}, expected {grid} for a weight {list(weight.shape)} in blocks of "
            f"{block[0]} x {block[1]}: is weight_block_size right?"
        )
    steps = scale.to(torch.float32)
    if not bool((torch.isfinite(steps) & (steps > 0)).all()):
        raise CheckpointError(
            f"its scales are {steps.min().item():g} to {steps.max().item():g}, expected finite ones above zero: "
            "download the model again"
        )
    if single:
        return Quantised(_rows(weight, steps.reshape(1, 1), tuple(weight.shape)), {"block": None})
    return Quantised(_rows(weight, steps, block), {"block": list(block)})


def _rows(weight: "torch.Tensor", steps: "torch.Tensor", block: Block) -> Rows:
    import torch

    def rows(start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor]":
        codes = weight[start:stop].to(torch.float32)
        if bool(codes.isnan().any()):
            raise CheckpointError("a code is NaN: download the model again")
        across = torch.arange(weight.shape[1]) // block[1]
        return codes, steps[torch.arange(start, stop) // block[0]][:, across]

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
    block = require(Fp8Options, quantisation, where).weight_block_size or _DEFAULT_BLOCK
    weights = {
        name: Stored(tensor.shape, (name, _scale(checkpoint, name)))
        for name, tensor in checkpoint.tensors.items()
        if tensor.dtype == _CODES
    }
    parts = {part for stored in weights.values() for part in stored.parts}
    for name in checkpoint.tensors:
        if name.endswith("_scale_inv") and name not in parts:
            raise CheckpointError(
                f"{checkpoint.tensors[name].file}: {name} scales no float8_e4m3fn tensor: download the model again"
            )
    modules = {name.removesuffix("weight") for name in weights}
    unused = {module + suffix for module in modules for suffix in _ACTIVATION_SCALES} & set(checkpoint.tensors)
    return Scheme("fp8", {"weight_block_size": list(block)}, weights, frozenset(unused), partial(read, block=block))


def _scale(checkpoint: Checkpoint, name: str) -> str:
    module = name.removesuffix("weight")
    for scale in _SCALES:
        if module + scale in checkpoint.tensors:
            return module + scale
    raise CheckpointError(
        f"{checkpoint.tensors[name].file}: {name} is float8_e4m3fn, but there is no {module}{_SCALES[0]}: "
        "download the model again"
    )
