"""What the modules of a loaded model were made with: rotary frequencies, norms' epsilon, heads, windows, soft-caps.

One place for what transformers' and vLLM's versions call them. Asked of the module that computes, not of the config it
was made from, wherever it keeps what it computes with; what a version does not keep is left out, and so not judged.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checkpoints.declared import (
    EPSILON,
    FINAL_SOFT_CAP,
    FREQUENCIES,
    HEAD_SIZE,
    HEADS,
    KIND,
    KV_HEADS,
    SCALE,
    SOFT_CAP,
    TIED,
    VOCABULARY,
    WINDOW,
)
from npu_conformance.traces.trace import ModuleValue

VERSION = 2
"""Raised when a reference's modules are asked something else: what they told is kept in the cache."""
# Parts of a model that do not compute the language model's own layers.
_ELSEWHERE = ("visual", "vision", "audio", "mtp", "draft", "image", "multi_modal", "eagle")
# Words of the classes in vLLM's layers/rotary_embedding and vllm-ascend's ops/rotary_embedding.py. `YaRN` stands for
# DeepSeek's too, which says Deepseek alone.
_CLASSES = {"LongRoPE": "longrope", "YaRN": "yarn", "Deepseek": "yarn", "Llama3": "llama3", "LinearScaling": "linear"}
_PLAIN = ("RotaryEmbedding", "MRotaryEmbedding")


def of_transformers(model: Any) -> list[ModuleValue]:
    """Of a model of transformers; each value with the first module that has it."""
    return _distinct(_transformers(model))


def of_vllm(model: Any, ranks: int) -> list[ModuleValue]:
    """Of a rank's model in a vLLM worker.

    Args:
        model: vLLM's.
        ranks: over which its heads are distributed.
    """
    return _distinct(_vllm(model, ranks))


def _distinct(told: Iterator[ModuleValue]) -> list[ModuleValue]:
    found: dict[str, ModuleValue] = {}
    for one in told:
        found.setdefault(f"{one.fact} {one.value!r}", one)
    return list(found.values())


def _parts(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if not any(word in part for part in name.split(".") for word in _ELSEWHERE):
            yield name, module


def _asked(read: Callable[..., Iterator[ModuleValue]], *args: Any) -> Iterator[ModuleValue]:
    """What a part tells; nothing where a version has it otherwise, for the rest of the trace is not to be lost by it.

    That nothing was told the check then says.
    """
    try:
        yield from read(*args)
    except Exception as error:  # of another's code, in a version that we may not know
        logging.getLogger(__name__).warning("%s: not told: %r", args[0] if len(args) > 1 else "model", error)


def _transformers(model: Any) -> Iterator[ModuleValue]:
    for name, module in _parts(model):
        for read in (_norm, _transformers_rotary, _transformers_attention):
            yield from _asked(read, name, module)
    yield from _asked(_transformers_ends, model)


def _transformers_ends(model: Any) -> Iterator[ModuleValue]:
    """Of the embedding, lm_head, and what comes after it."""
    text = model.config.get_text_config()
    if hasattr(text, "final_logit_softcapping"):
        yield ModuleValue(FINAL_SOFT_CAP, text.final_logit_softcapping, "config of the loaded model")
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    yield ModuleValue(VOCABULARY, int(embedding.weight.shape[0]), "the embedding")
    if head is not None:
        yield ModuleValue(VOCABULARY, int(head.weight.shape[0]), "lm_head")
        yield ModuleValue(TIED, head.weight.data_ptr() == embedding.weight.data_ptr(), "lm_head")


def _norm(name: str, module: Any) -> Iterator[ModuleValue]:
    """Of a layer's own norms and the last one; config.json need not speak of those within attention."""
    kind, parts = type(module).__name__, name.split(".")
    layer = max((place for place, part in enumerate(parts) if part.isdigit()), default=len(parts) - 2)
    if "Norm" not in kind or "L2Norm" in kind or layer != len(parts) - 2:
        return
    for attribute in ("variance_epsilon", "eps", "epsilon"):
        if isinstance(value := getattr(module, attribute, None), float):
            yield ModuleValue(EPSILON, value, name)
            return


def _transformers_rotary(name: str, module: Any) -> Iterator[ModuleValue]:
    """Transformers 5 has a buffer a kind of layer where kinds rotate otherwise, `full_attention_inv_freq`."""
    names = [key for key in module._buffers if key.endswith("inv_freq") and "original" not in key]
    names = [key for key in names if "long_inv_freq" not in key]
    for key in names:
        prefix = key.removesuffix("inv_freq")
        yield ModuleValue(FREQUENCIES, _floats(getattr(module, key)), name)
        scale = getattr(module, f"{prefix}attention_scaling", None)
        if isinstance(scale, float | int):
            yield ModuleValue(SCALE, float(scale), name)
        kind = getattr(module, "rope_type", None)
        kind = kind.get(prefix.removesuffix("_")) if isinstance(kind, dict) else kind
        if isinstance(kind, str):
            yield ModuleValue(KIND, kind, name)
        if kind == "longrope" and key == "inv_freq":
            yield ModuleValue(FREQUENCIES, _beyond(module), name)


def _beyond(module: Any) -> list[float]:
    """LongRoPE's frequencies for a sequence beyond the original length; the module is left as it was."""
    import torch

    before, like = module.inv_freq, torch.zeros(1, 1, 1, dtype=torch.float32, device=module.inv_freq.device)
    # The longest position of any model; how long the original length is, the module decides.
    module(like, torch.tensor([[2**30]], device=like.device))
    found = _floats(module.inv_freq)
    module(like, torch.tensor([[0]], device=like.device))
    module.register_buffer("inv_freq", before, persistent=False)
    return found


def _transformers_attention(name: str, module: Any) -> Iterator[ModuleValue]:
    size = getattr(module, "head_dim", None)
    if not isinstance(size, int) or not all(hasattr(module, name) for name in ("q_proj", "k_proj", "o_proj")):
        return
    yield ModuleValue(HEAD_SIZE, size, name)
    yield ModuleValue(HEADS, _width(module.o_proj, 1) // size, name)
    yield ModuleValue(KV_HEADS, _width(module.k_proj, 0) // size, name)
    if hasattr(module, "sliding_window"):
        yield ModuleValue(WINDOW, module.sliding_window, name)
    for attribute in ("attn_logit_softcapping", "softcap"):
        if hasattr(module, attribute):
            yield ModuleValue(SOFT_CAP, getattr(module, attribute), name)
            return


def _width(linear: Any, side: int) -> int:
    """Channels of a projection, out of it (0) or into it (1)."""
    return int(linear.weight.shape[side])


def _vllm(model: Any, ranks: int) -> Iterator[ModuleValue]:
    for name, module in _parts(model):
        for read in (_norm, _vllm_rotary, _vllm_words):
            yield from _asked(read, name, module)
        yield from _asked(_vllm_attention, name, module, ranks)
    yield from _asked(_vllm_tied, model)


def _vllm_attention(name: str, module: Any, ranks: int) -> Iterator[ModuleValue]:
    """Of attention with a KV cache, which keeps its heads by rank."""
    if not hasattr(module, "impl") or not hasattr(module, "num_kv_heads"):
        return
    yield ModuleValue(HEAD_SIZE, int(module.head_size), name)
    yield ModuleValue(HEADS, int(module.num_heads) * ranks, name)
    if ranks == 1 or int(module.num_kv_heads) > 1:  # of fewer heads than ranks each rank has a copy
        yield ModuleValue(KV_HEADS, int(module.num_kv_heads) * ranks, name)
    if hasattr(module, "sliding_window"):
        yield ModuleValue(WINDOW, module.sliding_window, name)
    for attribute in ("logits_soft_cap", "logit_cap"):
        if hasattr(module.impl, attribute):
            yield ModuleValue(SOFT_CAP, getattr(module.impl, attribute) or None, name)
            return


def _vllm_words(name: str, module: Any) -> Iterator[ModuleValue]:
    if hasattr(module, "soft_cap") and hasattr(module, "org_vocab_size"):  # LogitsProcessor
        yield ModuleValue(FINAL_SOFT_CAP, module.soft_cap or None, name)
    if isinstance(words := getattr(module, "org_vocab_size", None), int):
        yield ModuleValue(VOCABULARY, words, name)


def _vllm_tied(model: Any) -> Iterator[ModuleValue]:
    """Whether both ends share their memory; a rank of a pipeline may have one of them only."""
    heads = [module.lm_head for module in model.modules() if hasattr(module, "lm_head")]
    embeddings = [module.embed_tokens for module in model.modules() if hasattr(module, "embed_tokens")]
    weights = [getattr(getattr(one, "base_layer", one), "weight", None) for one in (*heads[:1], *embeddings[:1])]
    there = [weight.data_ptr() for weight in weights if weight is not None and weight.numel()]
    if len(there) == 2:
        yield ModuleValue(TIED, there[0] == there[1], "lm_head")


def _vllm_rotary(name: str, module: Any) -> Iterator[ModuleValue]:
    width = getattr(module, "rotary_dim", None)
    if width is None or type(module).__name__.endswith("ApplyRotaryEmb"):
        return
    kind = type(module).__name__.removeprefix("Ascend")
    named = next((told for word, told in _CLASSES.items() if word in kind), "default" if kind in _PLAIN else None)
    if named == "default" and getattr(module, "scaling_factor", None):
        named = "yarn"  # MRotaryEmbedding takes YaRN's arguments
    if named is not None:
        yield ModuleValue(KIND, named, name)
    for table in _tables(module):
        frequencies, scale = rotation(table, width // 2)
        yield ModuleValue(FREQUENCIES, frequencies.tolist(), name)
        yield ModuleValue(SCALE, scale, name)


def _tables(module: Any) -> Iterator[NDArray[np.float64]]:
    """Rows of cosines and sines by position that the module rotates with."""
    if (both := getattr(module, "long_short_cos_sin_cache", None)) is not None:
        original = module.original_max_position_embeddings
        yield _rows(both[:original])
        yield _rows(both[original:])
    elif (one := getattr(module, "cos_sin_cache", None)) is not None and one.ndim == 2:
        yield _rows(one)


def _rows(table: Any) -> NDArray[np.float64]:
    """The rows of positions 0, 1, 2, 4, 8 …."""
    places = [0, *(2**power for power in range(30) if 2**power < len(table))]
    return np.asarray(table[places].detach().float().cpu().numpy(), dtype=np.float64)


def rotation(rows: NDArray[np.float64], pairs: int) -> tuple[NDArray[np.float64], float]:
    """What a table of cosines and sines rotates by, as exactly as its rounding lets it be known.

    Args:
        rows: of positions 0, 1, 2, 4, 8 … [rows, cosines then sines].
        pairs: of channels.

    Returns:
        Radians a token [pairs], each from the last row before it has turned by more than a radian; and what cosines and
        sines are multiplied by.
    """
    cosines, sines = rows[:, :pairs], rows[:, rows.shape[1] // 2 : rows.shape[1] // 2 + pairs]
    angles = np.arctan2(sines[1:], cosines[1:])
    found = angles[0].copy()
    still = np.abs(found) <= 1
    for power in range(1, len(angles)):
        found[still] = angles[power][still] / 2**power
        still &= np.abs(angles[power]) <= 1
    return found, float(cosines[0].mean())


def _floats(tensor: Any) -> list[float]:
    return [float(value) for value in tensor.detach().float().cpu().tolist()]
