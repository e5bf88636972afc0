"""What the ways to store a quantised weight have in common: codes, and scales that they are multiplied by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """Of the plain weight: [out, in]."""
    parts: tuple[str, ...]
    """The tensors it is stored as, in the order its reader takes them."""


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
    read: Callable[..., Quantised]
    """From a weight's parts; raises CheckpointError where they do not fit each other, without naming the weight."""


def describe(tensor: "torch.Tensor") -> str:
    """Dtype and shape for people: `float16 [2, 64]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
