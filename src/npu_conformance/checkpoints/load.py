"""One tensor of a checkpoint, as it is stored."""

from typing import TYPE_CHECKING

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    import torch


def load_tensor(checkpoint: Checkpoint, name: str) -> "torch.Tensor":
    """One tensor, mapped from its file; the file is opened for this tensor alone and is let go of with it.

    Args:
        checkpoint: an inspected folder, of safetensors or of `.bin` files.
        name: the tensor's name.

    Raises:
        CheckpointError: there is no such tensor, or its file cannot be read.
    """
    tensor = checkpoint.tensors.get(name)
    if tensor is None:
        raise CheckpointError(f"{checkpoint.folder}: {name} is missing: download the model again")
    try:
        return _from_bin(tensor.file, name) if tensor.file.suffix == ".bin" else _from_safetensors(tensor.file, name)
    except Exception as error:  # a damaged file may raise anything
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{tensor.file}: {name} cannot be read ({reason}): download the model again") from error


def _from_safetensors(file: "Path", name: str) -> "torch.Tensor":
    from safetensors import safe_open

    with safe_open(file, framework="pt") as handle:
        return handle.get_tensor(name)


def _from_bin(file: "Path", name: str) -> "torch.Tensor":
    import torch

    return torch.load(file, mmap=True, weights_only=True, map_location="cpu")[name]
