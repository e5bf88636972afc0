"""The reference: one pass over the candidate's tokens against generating them."""

import os
from dataclasses import replace
from typing import Any

import numpy as np

from bench import shape
from bench.timing import Row, race
from npu_conformance.engines.reference.scoring import Sequence_, score

_TOKENS = 48


def measure() -> list[Row]:
    """Race scoring against `generate`, for one prompt and for a batch of eight."""
    import torch
    import transformers

    torch.manual_seed(shape.SEED)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = transformers.AutoModelForCausalLM.from_config(
        shape.config(), dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    return [row for batch in (1, 8) for row in _race(model, batch)]


def _race(model: Any, batch: int) -> list[Row]:
    generated = _generate(model, batch, output_logits=True, return_dict_in_generate=True)
    tokens = generated.sequences[:, shape.PROMPT_TOKENS :].tolist()
    sequences: list[Sequence_] = [
        (prompt, tuple(forced)) for prompt, forced in zip(shape.prompts(batch), tokens, strict=True)
    ]
    # The same words from both ways, or their times are not about the same thing.
    stepwise = np.stack([step.numpy() for step in generated.logits], axis=1)
    difference = float(np.abs(stepwise - np.stack(score(model, sequences))).max())
    rows = race(
        "reference",
        f"{batch} x {_TOKENS} tokens",
        {"one scoring pass": lambda: score(model, sequences), "generate": lambda: _generate(model, batch)},
        of="one scoring pass",
    )
    return [
        replace(row, note=f"logits differ by {difference:.1e} at most") if row.contender == "generate" else row
        for row in rows
    ]


def _generate(model: Any, batch: int, **options: Any) -> Any:
    import torch

    ids = torch.tensor(shape.prompts(batch))
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=_TOKENS,
        min_new_tokens=_TOKENS,
        use_cache=True,
        **options,
    )
