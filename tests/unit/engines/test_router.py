"""Margins of a mixture's routers, at the positions that predict forced tokens, beside the rows in the cache."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.reference import loaded
from npu_conformance.engines.reference.router import experts_a_token
from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.workers.scorer_job import ScorerJob

LAYERS, EXPERTS, CHOSEN = 2, 6, 2
SEQUENCES = [((1, 2, 3, 4), (5, 6)), ((7, 8, 9), (10, 11))]
MIXTURE = {"num_experts_per_tok": CHOSEN, "output_router_logits": False}


def mixture() -> Any:
    """A tiny Qwen2-MoE with routers that tell experts apart."""
    import torch
    from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

    torch.manual_seed(0)
    config = Qwen2MoeConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=2,
        num_key_value_heads=1, moe_intermediate_size=12, shared_expert_intermediate_size=20, num_experts=EXPERTS,
        num_experts_per_tok=CHOSEN, pad_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    return Qwen2MoeForCausalLM(config).eval()


@pytest.fixture
def scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scorer:
    """Of that model."""
    monkeypatch.setattr(loaded, "load_model", lambda *_, **__: mixture())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(MIXTURE))
    (tmp_path / "cache").mkdir()
    job = ScorerJob(
        checkpoint=tmp_path / "model", checkpoint_digest="d", cache=tmp_path / "cache", output=tmp_path / "unused",
        dtype="float32", attn_implementation="eager",
    )  # fmt: skip
    return Scorer(job, lambda *_: None)


def test_they_are_those_of_each_sequence_alone(scorer: Scorer) -> None:
    """Read off the routers themselves; sequences of a batch have other lengths."""
    import torch

    margins = scorer.margins(scorer.rows(SEQUENCES, adapted=True))

    assert margins is not None
    model, expected, seen = mixture(), [], []
    for layer in model.model.layers:
        layer.mlp.gate.register_forward_hook(lambda _module, _args, output: seen.append(output[0]))
    for prompt, tokens in SEQUENCES:
        seen.clear()
        with torch.inference_mode():
            model(torch.tensor([prompt + tokens[:-1]]))
        ordered = [one[-len(tokens) :].sort(descending=True).values for one in seen]
        expected.append(torch.stack([one[:, CHOSEN - 1] - one[:, CHOSEN] for one in ordered], dim=-1).numpy())
    assert margins.shape == (4, LAYERS)
    np.testing.assert_allclose(margins, np.concatenate(expected), atol=1e-5)
    assert margins.std() > 0.01


def test_they_are_computed_once(scorer: Scorer) -> None:
    """Rows without them are computed again."""
    entries = scorer.rows(SEQUENCES, adapted=True)
    scorer.rows(SEQUENCES, adapted=True)
    assert scorer.computed == 2
    entries[0].with_suffix(".router.npy").unlink()
    scorer.rows(SEQUENCES, adapted=True)
    assert scorer.computed == 3


@pytest.mark.parametrize(
    ("config", "chosen"),
    [(MIXTURE, CHOSEN), ({"text_config": MIXTURE}, CHOSEN), ({"num_experts_per_tok": 2}, None), ({}, None)],
)
def test_whose_routers_are_told(tmp_path: Path, config: dict[str, Any], chosen: int | None) -> None:
    """Of mixtures that have a switch for it."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert experts_a_token(tmp_path) == chosen
