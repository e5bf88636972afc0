"""Block-boundary prompts: text cut at edges of KV cache blocks, where prefix hits, chunks and preemptions begin or end.

What follows the cut is forced, so each is as long as it must be whatever the model would say.
"""

from collections.abc import Sequence

from npu_conformance.engines.vllm.generation import Request, forced_request

# Tokens forced from each cut: enough to cross into the next block from just before its edge.
_FORCED = 8
_BLOCKS = (1, 2)
_LONG, _LONG_FORCED = (1100, 4200), 200
LONGEST_TEXT = max(_LONG) + _LONG_FORCED
"""Tokens of the longest request made here."""


def boundary(prompt_ids: Sequence[Sequence[int]], block_size: int, max_model_len: int) -> dict[str, Request]:
    """Requests by name, all with one beginning, made of the longest prompts.

    Args:
        prompt_ids: the run's prompts as token ids.
        block_size: of the engine's KV cache, in tokens.
        max_model_len: longest request the engine takes; block-boundary prompts beyond it are left out.
    """
    text = _text(prompt_ids, max(_BLOCKS) * block_size + 1 + _FORCED)
    cuts = {
        f"boundary/{_name(blocks, offset)}": blocks * block_size + offset for blocks in _BLOCKS for offset in (-1, 0, 1)
    }
    return {
        name: forced_request(tuple(text[:cut]), tuple(text[cut : cut + _FORCED]))
        for name, cut in cuts.items()
        if cut + _FORCED <= max_model_len
    }


def long_texts(prompt_ids: Sequence[Sequence[int]], max_model_len: int) -> dict[str, Request]:
    """Requests with more than 1,000 and more than 4,000 tokens of text before what is forced, by name.

    Args:
        prompt_ids: the run's prompts as token ids.
        max_model_len: longest request the engine takes; texts beyond it are left out.
    """
    text = _text(prompt_ids, LONGEST_TEXT)
    return {
        f"long texts/{length} tokens": forced_request(tuple(text[:length]), tuple(text[length : length + _LONG_FORCED]))
        for length in _LONG
        if length + _LONG_FORCED <= max_model_len
    }


def _text(prompt_ids: Sequence[Sequence[int]], length: int) -> list[int]:
    """All prompts one after another, the longest first, again and again until it is long enough."""
    text: list[int] = []
    while len(text) < length:
        for ids in sorted(prompt_ids, key=len, reverse=True):
            text += ids
    return text


def _name(blocks: int, offset: int) -> str:
    edge = f"{blocks} block{'s' if blocks > 1 else ''}"
    return edge if offset == 0 else f"{edge} {'+' if offset > 0 else '-'} 1 token"
