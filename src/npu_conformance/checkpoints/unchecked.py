"""Tensors whose shapes nothing is held against, because their names are not recognised."""

import re
from collections import Counter

from npu_conformance.checkpoints.checkpoint import Checkpoint, some
from npu_conformance.checkpoints.headers import shown
from npu_conformance.checkpoints.stack import find_stack

_IN_A_LAYER = (
    r"(self_attn\.[qkvo]_proj|mlp\.(experts\.[0-9]+\.)?(gate|up|down)_proj|\w+_layernorm|self_attn\.[qk]_norm)\.\w+"
)
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?=\.)")


def unchecked(checkpoint: Checkpoint) -> str | None:
    """Which shapes were not checked, for a person who else reads that nothing is wrong; None where all were.

    Args:
        checkpoint: an examined folder.
    """
    stack = find_stack(checkpoint)
    if stack is None:
        return f"not recognised: {_kinds(list(checkpoint.tensors))}: shapes not checked"
    root = re.escape(stack.root)
    known = re.compile(rf"{root}((embed_tokens|norm)\.\w+|layers\.[0-9]+\.{_IN_A_LAYER})|(.*\.)?lm_head\.\w+")
    names = [name for name in checkpoint.tensors if not known.fullmatch(name)]
    return f"not recognised: {_kinds(names)}: shapes not checked" if names else None


def _kinds(names: list[str]) -> str:
    kinds = Counter(_NUMBER.sub("*", name) for name in names)
    return f"{len(names)} tensors, {some(map(shown, kinds), 3)}"
