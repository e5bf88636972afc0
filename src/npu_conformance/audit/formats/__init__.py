"""The independent readings of quantised formats: a module each, named as `quant_method` names the format (`_` for `-`).

A module has what `Format` lists. It is written from the format's description and imports nothing of the converters.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from npu_conformance.audit.weights import Weights
from npu_conformance.checkpoints.inspect import Checkpoint


class Format(Protocol):
    """A module of this folder."""

    def unread(self, checkpoint: Checkpoint) -> str | None:
        """What a checkpoint has of the format that is not read here, such as `bits 3`; None where there is nothing."""

    def parameter_of(self, checkpoint: Checkpoint, stored: str) -> str | None:
        """The parameter that a stored tensor is a part of; None where it is of no parameter in this format."""

    def stored_name(self, checkpoint: Checkpoint, name: str) -> str | None:
        """The stored tensor that holds a parameter's values; None where it is not in this format."""

    def read(self, checkpoint: Checkpoint, name: str) -> Weights:
        """A parameter in this format; raises CheckpointError where its parts do not fit each other."""


@cache
def formats() -> dict[str, Format]:
    """All of them, by `quant_method`."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {name.replace("_", "-"): cast("Format", import_module(f"{__name__}.{name}")) for name in names}
