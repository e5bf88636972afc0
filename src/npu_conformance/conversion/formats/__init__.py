"""The quantised formats that can be converted: a module each, named as `quant_method` names the format (`_` for `-`).

A module has `find(checkpoint, quantisation, where)`, which says which stored tensors make which plain weights.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.conversion.scheme import Scheme

Find = Callable[[Checkpoint, dict[str, Any], str], Scheme]
"""From a checkpoint, its quantisation's options, and where these are, for messages."""


def methods() -> list[str]:
    """All of them."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def find_of(method: str) -> Find:
    """What finds the weights of a format; `method` is one of `methods`."""
    find: Find = import_module(f"{__name__}.{method.replace('-', '_')}").find
    return find
