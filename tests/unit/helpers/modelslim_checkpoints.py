"""A small random Qwen3, and the same as ModelSlim stores it."""

from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.twins.formats import copy_beside
from npu_conformance.twins.modelslim import store_modelslim

VOCABULARY = 200
LAYERS = 3


def save_plain(folder: Path, layers: int = LAYERS) -> Path:
    """A Qwen3 of random weights in bfloat16, whose logits differ enough between words."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=256, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, pad_token_id=0, tie_word_embeddings=False, initializer_range=0.08,
    )  # fmt: skip
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    return folder


def save_modelslim(folder: Path, plain: Path) -> Path:
    """The same in W8A8: attention with static scales, the MLP with one a token."""
    folder.mkdir()
    copy_beside(plain, folder)
    store_modelslim(plain, folder, texts(8, seed=1))
    return folder


def texts(count: int, seed: int) -> list[tuple[int, ...]]:
    """Token ids, of 12 tokens each."""
    random: Any = np.random.default_rng(seed)
    return [tuple(random.integers(1, VOCABULARY, 12).tolist()) for _ in range(count)]
