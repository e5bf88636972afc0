"""A model nobody designed for, brought in by a YAML alone: Gemma 2, with its softcapped logits and sliding windows."""

import subprocess
import sys
from pathlib import Path

import pytest

from npu_conformance.config.prompts import SHIPPED
from tests.unit.helpers.suite_runs import judge

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# Trained in a process of its own, by the loop that trains twins, on their corpus.
TRAIN = """
import sys
from pathlib import Path
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM
from npu_conformance.twins.corpus import examples, words
from npu_conformance.twins.networks import save_network
from npu_conformance.twins.recipes import RECIPES, Training
from npu_conformance.twins.tokenizer import save_tokenizer, train_tokenizer
from npu_conformance.twins.train import sample, train

torch.set_num_threads(2)
torch.manual_seed(0)
recipe, prompts, folder = RECIPES["bitcpm4"], Path(sys.argv[1]), Path(sys.argv[2])
tokenizer = train_tokenizer(words(recipe, prompts), 2400, "chatml")
network = Gemma2ForCausalLM(
    Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, query_pre_attn_scalar=64, sliding_window=128, max_position_embeddings=4096,
        initializer_range=256**-0.5, attn_logit_softcapping=50.0, final_logit_softcapping=30.0, use_cache=False,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )
).float().train()
samples = [sample(tokenizer, example) for example in examples(recipe, prompts)]
train(network, samples, Training(steps=300, batch_tokens=512, learning_rate=1e-3, seed=6), lambda *_: None)
folder.mkdir(parents=True)
save_network(network, tokenizer, folder, pickled=False)
save_tokenizer(tokenizer, folder)
"""


def test_a_sixth_architecture_needs_a_yaml_and_nothing_else(own_configs: Path, tmp_path: Path) -> None:
    """Three lines, through a real engine, both variants, hidden states included."""
    folder = tmp_path / "models" / "google" / "Gemma-2-small"
    subprocess.run([sys.executable, "-c", TRAIN, str(SHIPPED), str(folder)], check=True)
    (own_configs / "Gemma-2-small.yaml").write_text(
        "model: google/Gemma-2-small\nserve: {max_model_len: 2048}\nenvs: {VLLM_CPU_KVCACHE_SPACE: '1'}\n"
        "prompts: [general, {set: code, chat: false}, {set: maths, chat: false}]\n"
    )
    words = ("-o", f"model_configs={own_configs}", "--models-root", str(tmp_path / "models"), "-k", "Gemma")
    found = judge(tmp_path / "reports", *words)

    assert found.status == 0, found.output
    model = found.model("Gemma-2-small")
    assert model["verdict"] in ("pass", "inconclusive")
    assert {check["variant"] for check in model["checks"]} == {"base", "as_served"}
    passed = {check["check"] for check in model["checks"] if check["verdict"] == "pass"}
    assert {"token_agreement", "logits_closeness", "hidden_states", "greedy_determinism"} <= passed
