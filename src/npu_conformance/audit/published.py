"""The plain parameters a published checkpoint stands for, read without any code of the converters.

The float32 reference is built on this reading, and the audit holds converted weights against it, so a mistake in
a converter cannot be made here as well: nothing is shared with it but the opening of a file.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from npu_conformance.audit.published_fp8 import SCALES, read_fp8
from npu_conformance.audit.published_gptq import PARTS, read_gptq
from npu_conformance.audit.weights import Floats, Plain, Weights, assemble
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_FP8 = "F8_E4M3"
# Beside FP8 weights, for arithmetic in FP8 only.
_ACTIVATIONS = ("input_scale", "activation_scale")
_PLAIN = ("F32", "F16", "BF16")


def parameter_names(checkpoint: Checkpoint) -> list[str]:
    """The plain parameters a checkpoint stands for, in its order.

    GPTQ's `X.qweight`, `.qzeros`, `.scales` and `.g_idx` are `X.weight`; the scales of an FP8 tensor are part of it.
    """
    tensors = checkpoint.tensors
    scaled = [name for name, tensor in tensors.items() if tensor.dtype == _FP8]
    absorbed = {name + end for name in scaled for end in SCALES}
    absorbed |= {name.removesuffix("weight") + end for name in scaled for end in _ACTIVATIONS}
    packed = {name.removesuffix("qweight") for name in tensors if name.endswith(".qweight")}
    absorbed |= {start + part for start in packed for part in PARTS if part != "qweight"}
    names = (name for name in tensors if name not in absorbed)
    return [f"{name.removesuffix('qweight')}weight" if name.endswith(".qweight") else name for name in names]


def stored_name(checkpoint: Checkpoint, name: str) -> str:
    """The stored tensor that holds a parameter's values: itself, or GPTQ's `qweight`.

    Raises:
        CheckpointError: the parameter is not in the checkpoint.
    """
    packed = f"{name.removesuffix('weight')}qweight"
    for stored in (packed, name):
        if stored in checkpoint.tensors:
            return stored
    raise CheckpointError(f"{checkpoint.folder}: {name} is not among its parameters: download the model again")


def read(checkpoint: Checkpoint, name: str) -> Weights:
    """A plain parameter, to be had row by row.

    Raises:
        CheckpointError: it is not in the checkpoint, or in a form that is not known.
    """
    stored = stored_name(checkpoint, name)
    if stored != name:
        return read_gptq(checkpoint, name)
    dtype = checkpoint.tensors[name].dtype
    if dtype == _FP8:
        return read_fp8(checkpoint, name)
    if dtype not in _PLAIN:
        raise CheckpointError(
            f"{checkpoint.tensors[name].file}: {name} is {dtype}; expected {', '.join(_PLAIN)}, {_FP8} with a scale, "
            "or GPTQ: use another checkpoint of this model"
        )
    return Plain(load_tensor(checkpoint, name).contiguous())


def read_published(checkpoint: Checkpoint, name: str) -> Floats:
    """A plain parameter in float32, in its own shape.

    Raises:
        CheckpointError: see `read`.
    """
    return assemble(read(checkpoint, name))


def published_state_dict(checkpoint: Checkpoint) -> Iterator[tuple[str, "torch.Tensor"]]:
    """All plain parameters as float32 tensors, one at a time.

    Raises:
        CheckpointError: see `read`.
    """
    import torch

    for name in parameter_names(checkpoint):
        yield name, torch.from_numpy(read_published(checkpoint, name))
