"""Faults of vLLM's server alone: an engine inside its own process, as base's is, has none of them."""

import os
from collections.abc import AsyncIterator
from typing import Any

# Requests in a step from which on a label flips.
_MANY = 8
# The part of a stream that is lost, counted from 0.
_LOST = 2


def _served() -> bool:
    """Whether this process is of a server: only there the engine has a process of its own."""
    return os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "1"


def lora_by_base() -> None:
    """The server takes the LoRA's name, answers under it, and does not tell the engine."""
    from vllm.v1.engine.async_llm import AsyncLLM

    original = AsyncLLM.generate

    def generate(self: Any, *args: Any, **named: Any) -> Any:
        return original(self, *args, **named | {"lora_request": None})

    if _served():
        AsyncLLM.generate = generate


def double_bos() -> None:
    """The template writes the first token, and the server adds it again."""
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat

    original = OpenAIServingChat.render_chat_request

    async def render_chat_request(self: Any, request: Any) -> Any:
        rendered = await original(self, request)
        if isinstance(rendered, tuple):
            for one in rendered[1]:
                one["prompt_token_ids"] = [one["prompt_token_ids"][0], *one["prompt_token_ids"]]
        return rendered

    if _served():
        OpenAIServingChat.render_chat_request = render_chat_request


def label_flips() -> None:
    """In a large batch the last request's two labels, whose tokens the environment names, are exchanged."""
    from vllm.v1.sample.sampler import Sampler

    original = Sampler.forward
    first, second = map(int, os.environ["ENGINE_FAULT_TOKENS"].split(","))

    def forward(self: Any, logits: Any, *args: Any, **named: Any) -> Any:
        if len(logits) >= _MANY:
            logits = logits.clone()
            logits[-1, [first, second]] = logits[-1, [second, first]]
        return original(self, logits, *args, **named)

    if _served():
        Sampler.forward = forward


def stream_drops_chunk() -> None:
    """A part of each stream of a completion is lost."""
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion

    original = OpenAIServingCompletion.completion_stream_generator

    async def completion_stream_generator(self: Any, *args: Any, **named: Any) -> AsyncIterator[str]:
        place = 0
        async for part in original(self, *args, **named):
            if place != _LOST:
                yield part
            place += 1

    if _served():
        OpenAIServingCompletion.completion_stream_generator = completion_stream_generator
