"""What nothing is held against, because it is not recognised: tensors by their names, a quantisation by its method."""

import re
from collections import Counter
from collections.abc import Iterator

from npu_conformance.checkpoints.checkpoint import Checkpoint, some
from npu_conformance.checkpoints.config_values import spelled
from npu_conformance.checkpoints.headers import shown
from npu_conformance.checkpoints.modelslim import is_modelslim
from npu_conformance.checkpoints.quantisation.schema import METHODS
from npu_conformance.checkpoints.rope import KINDS, plain_settings
from npu_conformance.checkpoints.stack import find_stack

_IN_A_LAYER = (
    r"(self_attn\.[qkvo]_proj|mlp\.(experts\.[0-9]+\.)?(gate|up|down)_proj|\w+_layernorm|self_attn\.[qk]_norm)\.\w+"
)
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?=\.)")


def unchecked(checkpoint: Checkpoint) -> str | None:
    """What was not checked, for a person who else reads that nothing is wrong; None where all was.

    Args:
        checkpoint: an examined folder.
    """
    left = [*_method(checkpoint), *_rotations(checkpoint), *_tensors(checkpoint)]
    return f"not recognised: {'; '.join(left)}" if left else None


def _method(checkpoint: Checkpoint) -> Iterator[str]:
    method = checkpoint.quantisation.get("quant_method")
    if isinstance(method, str) and method not in METHODS and not is_modelslim(checkpoint.folder):
        yield f"quantised by {shown(method)}: its parts and options not checked"


def _rotations(checkpoint: Checkpoint) -> Iterator[str]:
    try:
        kind = plain_settings(checkpoint.text_config).get("rope_type", "default")
    except (AttributeError, TypeError):
        return  # values of a wrong kind, which are errors
    if kind not in KINDS:
        yield f"rope_type {spelled(kind)}: its keys not checked"


def _tensors(checkpoint: Checkpoint) -> Iterator[str]:
    stack, names = find_stack(checkpoint), list(checkpoint.tensors)
    if stack is not None:
        root = re.escape(stack.root)
        known = re.compile(rf"{root}((embed_tokens|norm)\.\w+|layers\.[0-9]+\.{_IN_A_LAYER})|(.*\.)?lm_head\.\w+")
        names = [name for name in names if not known.fullmatch(name)]
    if names:
        yield f"{_kinds(names)}: shapes not checked"


def _kinds(names: list[str]) -> str:
    kinds = Counter(_NUMBER.sub("*", name) for name in names)
    return f"{len(names)} tensors, {some(map(shown, kinds), 3)}"
