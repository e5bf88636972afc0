"""A model of the shape of Qwen3-0.6B with random weights: its speed is the real one's, its words mean nothing."""

import random
from typing import Any

VOCABULARY = 151_936
PROMPT_TOKENS = 32
SEED = 0


def config() -> Any:
    """The transformers config of the shape."""
    from transformers import Qwen3Config

    return Qwen3Config(
        architectures=["Qwen3ForCausalLM"],
        vocab_size=VOCABULARY,
        hidden_size=1024,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=3072,
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
    )


def prompts(count: int) -> list[tuple[int, ...]]:
    """Random prompts, the same ones each time."""
    dice = random.Random(SEED)  # noqa: S311
    return [tuple(dice.randrange(VOCABULARY) for _ in range(PROMPT_TOKENS)) for _ in range(count)]
