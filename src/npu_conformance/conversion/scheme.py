"""What the ways to store a quantised weight have in common: codes, and scales that they are multiplied by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.quantisation.scales import LARGEST_SCALE
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

Rows = Callable[[int, int], "tuple[torch.Tensor, torch.Tensor]"]
"""From first row and the one after the last to codes and scales, both float32 [rows, in]; values are their product."""


@dataclass(frozen=True)
class Quantised:
    """A quantised weight that was found in order, readable by rows."""

    rows: Rows
    about: dict[str, Any]
    """How it was stored, for the record."""


@dataclass(frozen=True)
class Stored:
    """Where a quantised weight is."""

    shape: tuple[int, ...]
    """Of the plain weight: [out, in], or [experts, out, in], whose rows are read one behind the other."""
    parts: tuple[str, ...]
    """The tensors it is stored as, in the order its reader takes them."""
    read: Callable[..., Quantised]
    """From its parts; raises CheckpointError where they do not fit each other, without naming the weight."""


@dataclass(frozen=True)
class Scheme:
    """How a checkpoint's quantised weights are stored."""

    name: str
    options: dict[str, Any]
    """As the checkpoint, or the user, gives them."""
    weights: dict[str, Stored]
    """By the name of the plain weight."""
    unused: frozenset[str]
    """Stored tensors that serve quantised arithmetic only."""


def check_scales(scales: "torch.Tensor") -> None:
    """Refuse scales that no weight can have.

    Raises:
        CheckpointError: one is zero, negative or not finite, or all are so large that they are reciprocals.
    """
    import torch

    least, greatest = scales.min().item(), scales.max().item()
    if not bool((torch.isfinite(scales) & (scales > 0)).all()):
        raise CheckpointError(
            f"its scales are {least:g} to {greatest:g}, expected finite ones above zero: download the model again"
        )
    if least > LARGEST_SCALE:
        raise CheckpointError(
            f"its scales are {least:g} to {greatest:g}, expected at most {LARGEST_SCALE}: they seem to be stored as "
            "reciprocals; quantise the model again"
        )


def describe(tensor: "torch.Tensor") -> str:
    """Dtype and shape for people: `float16 [2, 64]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
