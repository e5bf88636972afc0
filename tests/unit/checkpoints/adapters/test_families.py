"""LoRAs of published families, trained through their own classes and saved by PEFT: nothing is found wrong with any."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.adapters.inspect import examine_adapter
from npu_conformance.checkpoints.inspect import examine
from tests.unit.checkpoints.test_families import FAMILIES, SMALL

VISION = dict.fromkeys(("depth", "num_hidden_layers"), 1) | dict.fromkeys(("hidden_size", "intermediate_size"), 32)
VISION |= dict.fromkeys(("num_heads", "num_attention_heads"), 2)
NESTED = ("gemma3", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "mistral3", "llava")
# PEFT itself refuses nemotron_h's layers, and remarks on patterns for experts and on GPT-2's layers.
TRAINED = [family for family in (*FAMILIES, *NESTED) if family != "nemotron_h"]


def small(config: Any, values: dict[str, Any]) -> Any:
    """A config of its class with these values where it has them."""
    return type(config)(**{key: value for key, value in values.items() if hasattr(config, key)})


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("family", TRAINED)
def test_a_lora_of_a_published_family_fits(tmp_path: Path, family: str) -> None:
    """Of all linear layers, whatever they are called; layers narrower than the rank and towers are told."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

    plain = CONFIG_MAPPING[family]()
    config = small(plain, SMALL)
    if family in NESTED:
        text = small(plain.text_config, SMALL)
        config = type(plain)(text_config=text.to_dict(), vision_config=small(plain.vision_config, VISION).to_dict())
    made = AutoModelForImageTextToText if family in NESTED else AutoModelForCausalLM
    model = made.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    lora = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")

    adapter = examine_adapter(tmp_path / "adapter", examine(tmp_path / "base"))

    assert adapter.modules > 4
    told = ("less than the rank", "LoRAs of towers")
    findings = [one for one in adapter.findings if one.level != "note"]
    assert [str(one) for one in findings if not any(words in one.message for words in told)] == []
