"""Whether a language model's outer parts are there: embedding, layers and final norm."""

import re
from collections.abc import Iterator
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.headers import shown
from npu_conformance.checkpoints.stack import Stack, find_stack
from npu_conformance.checkpoints.tensor import BITS

_LAYER = re.compile(r"(?P<root>|.*?\.)layers\.[0-9]+\.self_attn\.[qko]_proj\.\w+")
_MATRIX = re.compile(r"(?:[a-z_]+\.){0,3}(?:embed_tokens|lm_head|(?P<norm>norm))\.weight")
_NUMBERED = re.compile(r"(^|\.)[0-9]+\.")
_EMBEDDING = re.compile(r"embed|wte|word|tok")
# Stacks beside the language model's.
_BESIDE = re.compile(r"(^|\.|_)(encoder|decoder|mtp|visual|vision\w*|audio\w*|patch\w*|position\w*)(\.|_)")
# Of drafts of speculative decoding, which have the embedding of the model that they draft for.
_DRAFT = "fc.weight"
_WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "base_model.model.")
"""What DDP, torch.compile, FSDP and PEFT put before the names of a model that is saved inside them."""
_AGAIN = "download the model again, or convert it again"


def part_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Parts that are missing, as far as names say unmistakably what is there; and weights too few for the config."""
    stack = find_stack(checkpoint)
    if other := _other_weights(checkpoint) or _wrapped(checkpoint):
        return [other]
    if too_few := _too_few(checkpoint):
        return [too_few]
    if flat := list(_flat(checkpoint)):
        return flat
    if stack is None:
        return list(_no_embedding(checkpoint))
    return [*_no_layers(checkpoint, stack), *_no_norm(checkpoint, stack)]


def _other_weights(checkpoint: Checkpoint) -> Finding | None:
    """A key of config.json that transformers reads since 5 and vLLM does not."""
    named, files = checkpoint.config.get("transformers_weights"), [file.name for file in checkpoint.files]
    if not named or named in (*files, "model.safetensors.index.json"):
        return None
    message = f"transformers_weights is {named!r}: transformers reads it, vLLM {some(files)}: remove the key"
    return Finding("error", "config.json", message)


def _wrapped(checkpoint: Checkpoint) -> Finding | None:
    """A model that was saved inside what trained it."""
    prefix = next((one for one in _WRAPPERS if all(name.startswith(one) for name in checkpoint.tensors)), None)
    if prefix is None:
        return None
    about = shown(next(iter(checkpoint.tensors)))
    message = (
        f"all names begin with {prefix}, which the training's wrapper adds; vLLM and transformers find no weight under "
        "such names: save the model that is inside the wrapper"
    )
    return Finding("error", about, message)


def _too_few(checkpoint: Checkpoint) -> Finding | None:
    """The embedding alone takes a bit an element at least."""
    rows, width = (_size(checkpoint.text_config, key) for key in ("vocab_size", "hidden_size"))
    stored = sum(tensor.size * BITS.get(tensor.dtype, 8) for tensor in checkpoint.tensors.values())
    if stored >= rows * width:
        return None
    message = (
        f"{len(checkpoint.tensors)} tensors of {stored // 8} bytes in all, which the embedding of config.json alone "
        f"exceeds ({rows} tokens x {width}): {_AGAIN}"
    )
    return Finding("error", "weights", message)


def _size(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _flat(checkpoint: Checkpoint) -> Iterator[Finding]:
    """Matrices that are none, and a final norm that is no vector."""
    for name, tensor in checkpoint.tensors.items():
        found = _MATRIX.fullmatch(name)
        if found and (len(tensor.shape) != (dimensions := 1 if found["norm"] else 2) or not tensor.size):
            message = f"is of shape {list(tensor.shape)}, expected {dimensions} dimensions, none of them 0: {_AGAIN}"
            yield Finding("error", shown(name), message)


def _no_embedding(checkpoint: Checkpoint) -> Iterator[Finding]:
    roots = {found["root"] for name in checkpoint.tensors if (found := _LAYER.fullmatch(name))}
    roots = {root for root in roots if not _BESIDE.search(root)}
    outside = [name for name in checkpoint.tensors if not _NUMBERED.search(name) and not _BESIDE.search(name)]
    if len(roots) != 1 or _DRAFT in checkpoint.tensors or any(_EMBEDDING.search(name) for name in outside):
        return
    yield Finding("error", f"{roots.pop()}embed_tokens.weight", f"missing, and no other embedding is there: {_AGAIN}")


def _no_layers(checkpoint: Checkpoint, stack: Stack) -> Iterator[Finding]:
    count = _size(checkpoint.text_config, "num_hidden_layers")
    if stack.layers or not count:
        return
    if any(_NUMBERED.search(name) and not _BESIDE.search(name) for name in checkpoint.tensors):
        return  # layers of another name
    yield Finding("error", f"{stack.root}layers", f"no tensors of any layer, num_hidden_layers is {count}: {_AGAIN}")


def _no_norm(checkpoint: Checkpoint, stack: Stack) -> Iterator[Finding]:
    normed = any("input_layernorm.weight" in layer for layer in stack.layers.values())
    if stack.norm is not None or not normed:
        return
    if any("norm" in name for name in checkpoint.tensors if not _NUMBERED.search(name) and not _BESIDE.search(name)):
        return  # one of another name
    yield Finding("error", f"{stack.root}norm.weight", f"missing, and there is no other final norm: {_AGAIN}")
