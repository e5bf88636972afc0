"""The plain parameters a published checkpoint stands for, read without any code of the converters.

The float32 reference is built on this reading, and the audit holds converted weights against it, so a mistake in
a converter cannot be made here as well: nothing is shared with it but the opening of a file.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from npu_conformance.audit.formats import formats
from npu_conformance.audit.weights import Floats, Plain, Weights, assemble
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.modelslim import is_modelslim
from npu_conformance.checkpoints.quantisation.scales import is_kv_scale
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_PLAIN = ("F32", "F16", "BF16")


def why_unreadable(checkpoint: Checkpoint) -> str | None:
    """Why a checkpoint can have no reference here, by its config and headers; None where it can."""
    method = "ModelSlim" if is_modelslim(checkpoint.folder) else checkpoint.quantisation.get("quant_method")
    if method is None:
        return None
    known = formats().get(method.lower())
    unread = "" if known is None else known.unread(checkpoint)
    if unread is None:
        return None
    kind = f"{method} with {unread}" if unread else method
    return (
        f"weights quantised by {kind} are not read here, so there is no reference: name the original weights under "
        "reference.model"
    )


def require_readable(checkpoint: Checkpoint) -> None:
    """Refuse such a checkpoint.

    Raises:
        CheckpointError: it can have no reference here.
    """
    if (why := why_unreadable(checkpoint)) is not None:
        raise CheckpointError(f"{checkpoint.folder}: {why}")


def parameter_names(checkpoint: Checkpoint) -> list[str]:
    """The plain parameters a checkpoint stands for, in its order.

    GPTQ's `X.qweight`, `.qzeros`, `.scales` and `.g_idx` are `X.weight`; the scales of an FP8 tensor are part of it.
    Those of an FP8 KV cache are no parameters.
    """
    quantised = checkpoint.announced is not None
    stored = [name for name in checkpoint.tensors if not (quantised and is_kv_scale(name))]
    return list(dict.fromkeys(_parameter_of(checkpoint, name) for name in stored))


def _parameter_of(checkpoint: Checkpoint, stored: str) -> str:
    found = (one.parameter_of(checkpoint, stored) for one in formats().values())
    return next(filter(None, found), stored)


def stored_name(checkpoint: Checkpoint, name: str) -> str:
    """The stored tensor that holds a parameter's values: itself, or such as GPTQ's `qweight`.

    Raises:
        CheckpointError: the parameter is not in the checkpoint.
    """
    if found := next(filter(None, (one.stored_name(checkpoint, name) for one in formats().values())), None):
        return found
    if name in checkpoint.tensors:
        return name
    raise CheckpointError(f"{checkpoint.folder}: {name} is not among its parameters: download the model again")


def read(checkpoint: Checkpoint, name: str) -> Weights:
    """A plain parameter, to be had row by row.

    Raises:
        CheckpointError: it is not in the checkpoint, or in a form that is not known.
    """
    for one in formats().values():
        if one.stored_name(checkpoint, name) is not None:
            return one.read(checkpoint, name)
    dtype = checkpoint.tensors[stored_name(checkpoint, name)].dtype
    if dtype not in _PLAIN:
        raise CheckpointError(
            f"{checkpoint.tensors[name].file}: {name} is {dtype}; expected {', '.join(_PLAIN)}, or weights in "
            f"{' or '.join(formats())}: use another checkpoint of this model"
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
