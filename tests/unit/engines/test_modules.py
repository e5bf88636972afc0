"""What modules were made with, asked of modules that transformers and vLLM made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.declared import (
    FINAL_SOFT_CAP,
    FREQUENCIES,
    KIND,
    SCALE,
    SOFT_CAP,
    TIED,
    WINDOW,
    declarations,
)
from npu_conformance.checkpoints.rope import declared_ropes
from npu_conformance.engines.modules import of_transformers, of_vllm
from npu_conformance.engines.reference.scoring import read_modules
from npu_conformance.traces.trace import ModuleValue, load_trace, save_modules, save_trace
from tests.unit.helpers.small_configs import LONG, MODEL, TYPES

TINY = {**MODEL, "vocab_size": 50, "intermediate_size": 64, "num_hidden_layers": 2, "rms_norm_eps": 1e-5}


def values(told: list[ModuleValue], fact: str) -> list[Any]:
    """All that was told of a fact."""
    return [one.value for one in told if one.fact == fact]


def made(**config: Any) -> Any:
    """An untrained Llama of transformers."""
    import transformers

    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**json.loads(json.dumps({**TINY, **config}))))


@pytest.mark.parametrize("kind", ["default", *TYPES])
def test_a_model_of_transformers_tells_what_its_config_says(tmp_path: Path, kind: str) -> None:
    """Every fact that its files give; LongRoPE's long factors too, and nothing is changed by asking."""
    rope = TYPES.get(kind)
    config = {**TINY, **({} if rope is None else {"rope_scaling": rope}), "tie_word_embeddings": kind == "yarn"}
    if kind == "longrope":
        config["original_max_position_embeddings"] = LONG["original_max_position_embeddings"]
    model = made(**config)
    before = model.model.rotary_emb.inv_freq.clone()
    told = of_transformers(model)
    declared = declarations(tmp_path, config).facts

    assert model.model.rotary_emb.inv_freq.equal(before)
    for fact, one in declared.items():
        if fact in (FREQUENCIES, SCALE):
            assert np.allclose(values(told, fact), np.array(one.values, dtype=float), rtol=1e-5), fact
        else:
            assert values(told, fact) == list(one.values), fact
    assert {"norm epsilon", "head size", "KV heads", "vocabulary", TIED, KIND, FREQUENCIES} <= set(declared)


def test_only_a_layers_own_norms_and_the_last_tell_their_epsilon() -> None:
    """Those within attention, as over latents or in an indexer, may have another that config.json does not name."""
    from torch import nn
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    model = made()
    model.model.layers[0].self_attn.indexer = nn.Module()
    model.model.layers[0].self_attn.indexer.k_norm = LlamaRMSNorm(8, eps=1e-2)
    assert values(of_transformers(model), "norm epsilon") == [1e-5]

    model.model.layers[1].post_attention_layernorm = LlamaRMSNorm(8, eps=1e-3)
    model.model.norm = LlamaRMSNorm(8, eps=1e-4)
    assert values(of_transformers(model), "norm epsilon") == [1e-5, 1e-3, 1e-4]


def test_a_module_of_another_version_costs_only_what_it_would_tell(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is told, and the log says what was not."""
    model = made()
    del model.model.layers[0].self_attn.o_proj.weight
    told = of_transformers(model)

    assert values(told, "attention heads") == [4]  # of the other layer
    assert values(told, "vocabulary") == [50]
    assert "model.layers.0.self_attn: not told: AttributeError" in caplog.text


def test_windows_and_soft_caps_of_transformers(tmp_path: Path) -> None:
    """Of a model that has both, some of its layers the one kind and some the other."""
    import transformers

    config = {**TINY, "head_dim": 64, "sliding_window": 16, "query_pre_attn_scalar": 64}
    config |= {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    told = of_transformers(transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**config)))

    assert sorted(values(told, WINDOW), key=str) == [16, None]
    assert values(told, SOFT_CAP) == [50.0]
    assert values(told, FINAL_SOFT_CAP) == [30.0]
    declared = declarations(tmp_path, config).facts
    assert (declared[SOFT_CAP].values, declared[FINAL_SOFT_CAP].values) == ((50.0,), (30.0,))


def test_what_was_told_comes_back(tmp_path: Path) -> None:
    """From beside a trace: truths stay truths, none is none, lists are lists."""
    told = [
        ModuleValue(TIED, True, "lm_head"),
        ModuleValue(WINDOW, None, "a"),
        ModuleValue(KIND, "yarn", "b"),
        ModuleValue(FREQUENCIES, [1.0, 0.5], "c"),
    ]
    save_trace(tmp_path, [], eos_token_ids=[], provenance={})
    assert load_trace(tmp_path).modules() is None
    save_modules(tmp_path, told)
    found = load_trace(tmp_path).modules() or ()
    assert [(one.fact, one.value) for one in found[:3]] == [(TIED, True), (WINDOW, None), (KIND, "yarn")]
    assert found[0].value is True
    assert list(found[3].value) == [1.0, 0.5]  # type: ignore[arg-type]


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # vLLM imports it so
def test_the_layers_of_vllm_tell_what_they_were_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own classes, in each dtype that it keeps tables in: every kind of rope, epsilon, ties."""
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
    import torch
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers.layernorm import GemmaRMSNorm, RMSNorm
    from vllm.model_executor.layers.rotary_embedding import get_rope

    kinds = {name: rope for name, rope in TYPES.items() if rope["rope_type"] != "longrope"}
    kinds |= {"mrope": {"rope_type": "default", "mrope_section": [12, 10, 10]}}
    kinds |= {"in part": {"rope_type": "default", "partial_rotary_factor": 0.25}}
    with set_current_vllm_config(VllmConfig()):
        for name, rope in kinds.items():
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                settings = {**rope, "rope_theta": 1e6}
                model = torch.nn.Module()
                model.rotary = get_rope(64, max_position=8192, rope_parameters=settings, dtype=dtype)
                model.norm, model.last = RMSNorm(64, eps=1e-5), GemmaRMSNorm(64, eps=1e-6)
                model.embed_tokens, model.lm_head = torch.nn.Embedding(4, 4), torch.nn.Linear(4, 4)
                told = of_vllm(model, 1)
                (expected,) = declared_ropes({**MODEL, "rope_theta": None, "rope_parameters": settings})
                (found,) = values(told, FREQUENCIES)
                rounding = 1e-5 if dtype == torch.float32 else 0.006
                assert np.abs(np.array(found) / expected.frequencies - 1).max() < rounding, name
                assert values(told, SCALE)[0] == pytest.approx(expected.scale, rel=rounding), name
                assert values(told, KIND) == [expected.kind], name
                assert values(told, "norm epsilon") == [1e-5, 1e-6]
                assert values(told, TIED) == [False]
                model.lm_head.weight = model.embed_tokens.weight
                assert values(of_vllm(model, 1), TIED) == [True]


@pytest.mark.parametrize("content", [b"", b'[["tied", tr', b"3", b"[3]", b'[["tied"]]', b"\xff"])
def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path: Path, content: bytes) -> None:
    """As one that is not there."""
    entry = tmp_path / "modules.json"
    assert read_modules(entry) is None
    entry.write_text('[["tied", true, "lm_head"]]')
    assert read_modules(entry) == [ModuleValue("tied", True, "lm_head")]
    entry.write_bytes(content)
    assert read_modules(entry) is None
