"""Block-scaled FP8 as published, element by element: a code's value times the scale of the block it lies in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.weights import Floats, grid
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.errors import CheckpointError

_CODES, _OTHER = "F8_E4M3", "F8_E5M2"
# What is appended to a parameter's name for its scale; both are multiplied, whatever "inverse" suggests.
_SCALES = ("_scale_inv", "_scale")
# In place of `weight`, for arithmetic in FP8 only.
_ACTIVATIONS = ("input_scale", "activation_scale")


def _e4m3fn(code: int) -> float:
    """The value of a code: sign, 4 bits of exponent with bias 7, 3 bits of mantissa; no infinities.

    Source: Micikevicius et al., FP8 Formats for Deep Learning (2022), table 1.
    """
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = code >> 3 & 0xF, code & 7
    if exponent == 15 and mantissa == 7:
        return float("nan")
    if exponent == 0:
        return sign * mantissa / 8 * 2.0**-6
    return float(sign * (1 + mantissa / 8) * 2.0 ** (exponent - 7))


E4M3FN: Floats = np.array([_e4m3fn(code) for code in range(256)], dtype=np.float32)


@dataclass(frozen=True)
class Fp8:
    """A parameter in FP8."""

    shape: tuple[int, ...]
    codes: NDArray[np.uint8]
    """[rows, columns] of the parameter seen as a matrix."""
    scale: Floats
    """[..., block rows, block columns]."""
    block: tuple[int, int]
    """Rows and columns of a block."""

    def rows(self, start: int, stop: int) -> Floats:
        """Some rows (see `Weights.rows`)."""
        matrix, row = np.divmod(np.arange(start, stop), self.shape[-2])
        down, across = self.scale.shape[-2:]
        block_row = matrix * down + row // self.block[0]
        block_column = np.arange(self.shape[-1]) // self.block[1]
        factors = self.scale.reshape(-1, across)[block_row[:, None], block_column[None, :]]
        return np.asarray(E4M3FN[self.codes[start:stop]] * factors)


def unread(checkpoint: Checkpoint) -> str | None:
    """See `Format`."""
    return _OTHER if any(tensor.dtype == _OTHER for tensor in checkpoint.tensors.values()) else None


def parameter_of(checkpoint: Checkpoint, stored: str) -> str | None:
    """See `Format`."""
    owners = [stored, *(stored.removesuffix(end) for end in _SCALES if stored.endswith(end))]
    owners += [f"{stored.removesuffix(end)}weight" for end in _ACTIVATIONS if stored.endswith(end)]
    return next(filter(None, (stored_name(checkpoint, owner) for owner in owners)), None)


def stored_name(checkpoint: Checkpoint, name: str) -> str | None:
    """See `Format`."""
    return name if name in checkpoint.tensors and checkpoint.tensors[name].dtype == _CODES else None


def _scale_name(checkpoint: Checkpoint, name: str) -> str | None:
    """The tensor that holds a parameter's scale."""
    return next((name + end for end in _SCALES if name + end in checkpoint.tensors), None)


def read(checkpoint: Checkpoint, name: str) -> Fp8:
    """Read a parameter that is stored in FP8.

    Raises:
        CheckpointError: it has no scale, or one that does not fit its shape.
    """
    import torch

    found = _scale_name(checkpoint, name)
    shape = checkpoint.tensors[name].shape
    if found is None or len(shape) < 2:
        raise CheckpointError(
            f"{checkpoint.tensors[name].file}: {name} is FP8 of shape {shape}; expected a matrix with a scale "
            f"({name}{_SCALES[0]}): download the model again"
        )
    scale: Floats = load_tensor(checkpoint, found).float().numpy()
    block = _block(checkpoint, shape, scale)
    if scale.size == 1:
        scale = scale.reshape(1, 1)
    elif block[0] == 1 and scale.shape == shape[:-1]:
        scale = scale[..., None]
    expected = (*shape[:-2], -(-shape[-2] // block[0]), -(-shape[-1] // block[1]))
    if scale.shape != expected:
        raise CheckpointError(
            f"{checkpoint.tensors[found].file}: {found} has shape {scale.shape}; expected {expected} for {name} of "
            f"shape {shape} in blocks of {block}: weights and quantization_config are not of the same model"
        )
    codes = load_tensor(checkpoint, name).view(torch.uint8).numpy().reshape(grid(shape))
    return Fp8(shape, codes, scale, block)


def _block(checkpoint: Checkpoint, shape: tuple[int, ...], scale: Floats) -> tuple[int, int]:
    """Rows and columns that share a scale; without blocks in the config it is one a tensor, or one a row."""
    if size := checkpoint.quantisation.get("weight_block_size"):
        return int(size[0]), int(size[1])
    return (shape[-2], shape[-1]) if scale.size == 1 else (1, shape[-1])
