"""Values of config.json that are not of the kind they are meant to be: named with key, value and what was expected."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.config_values import value_findings
from npu_conformance.checkpoints.inspect import examine, inspect
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write


def told(config: dict[str, Any]) -> list[str]:
    """The errors."""
    return [finding.message for finding in value_findings(config)]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("hidden_size", "64", "hidden_size is '64', expected a whole number above zero"),
        ("hidden_size", 64.5, "hidden_size is 64.5, expected a whole number above zero"),
        ("num_attention_heads", 0, "num_attention_heads is 0, expected a whole number above zero"),
        ("vocab_size", 2**40, "vocab_size is 1099511627776, expected a whole number above zero"),
        ("max_position_embeddings", "", "max_position_embeddings is '', expected a number above zero"),
        ("max_position_embeddings", [1], "max_position_embeddings is [1], expected a number above zero"),
        ("num_experts", "8", "num_experts is '8', expected a whole number"),
        ("rope_theta", float("nan"), "rope_theta is nan, expected a number above zero"),
        ("rms_norm_eps", "1e-6", "rms_norm_eps is '1e-6', expected a number above zero"),
        ("rope_scaling", "linear", "rope_scaling is 'linear', expected an object"),
        ("rope_scaling", {"factor": {}}, "rope_scaling.factor is {}, expected a number above zero"),
        ("rope_parameters", {"a": {"rope_theta": "1"}}, "rope_parameters.a.rope_theta is '1', expected a number above"),
        ("rope_scaling", {"type": "yarn"}, "rope_scaling has no factor, which rope_type yarn needs"),
        (
            "rope_parameters",
            {"a": {"rope_type": "longrope", "short_factor": [1.0]}},
            "rope_parameters.a has no long_factor, which rope_type longrope needs",
        ),
        (
            "rope_parameters",
            {"rope_type": "llama3", "factor": 8.0},
            "rope_parameters has no low_freq_factor and no high_freq_factor and no original_max_position_embeddings",
        ),
        ("dtype", "x", "dtype is 'x', expected a dtype of torch such as bfloat16"),
        ("text_config", [], "text_config is [], expected an object"),
        ("text_config", {"head_dim": True}, "text_config.head_dim is true, expected a whole number above zero"),
        ("tie_word_embeddings", "false", "tie_word_embeddings is 'false', expected true or false"),
        ("architectures", "LlamaForCausalLM", "architectures is 'LlamaForCausalLM', expected a list of names"),
        ("architectures", None, "has no model_type and no architectures, so that it is no model's"),
        ("eos_token_id", "2", "eos_token_id is '2', expected a token id or a list of them"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    """With what to do; whoever loads the weights refuses, and doctor goes on with what else is wrong."""
    (message,) = told(LLAMA | {key: value})
    assert message.startswith(expected)
    assert message.endswith((": correct it by the published config.json", ": download it again"))

    folder = write(tmp_path, LLAMA | {key: value}, llama())
    (found,) = (str(one) for one in examine(folder).findings if f"{key} is " in str(one) or message in str(one))
    assert message in found or "--fix-config" in found, "the remedy of a size that the weights know"
    with pytest.raises(CheckpointError, match=r"config\.json: "):
        inspect(folder)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"head_dim": None, "num_key_value_heads": None, "rope_scaling": None, "layer_types": None, "text_config": {}},
        {"intermediate_size": [8192, 0, 16384], "num_attention_heads": [4, 8], "num_key_value_heads": [1, 2]},
        {"eos_token_id": [151645, 151643], "bos_token_id": None, "num_experts": 0, "rope_theta": 10000},
        {"moe_intermediate_size": [3072] * 32, "num_experts": [64, 64], "dtype": "bfloat16"},
        {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": None}},
        {"head_dim": 0, "max_position_embeddings": 1200.0, "torch_dtype": "float8_e4m3fn"},
        {"rope_scaling": {"type": "dynamic", "alpha": 1000.0}, "rope_parameters": {"rope_type": "telechat3-yarn"}},
        {"text_config": {"hidden_size": 5120, "vocab_size": 262208}, "tie_word_embeddings": True},
    ],
)
def test_published_values_are_right(values: dict[str, Any]) -> None:
    """Null, a number a layer, several ends of text, rotary settings a kind of layer."""
    assert told(LLAMA | values) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*LLAMA, "text_config", "rope_scaling", "num_experts"]), JSON, max_size=3))
def test_any_values_are_findings_or_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    """Never another exception."""
    folder = tmp_path / "model"
    if not folder.is_dir():
        write(folder, LLAMA, llama())
    (folder / "config.json").write_text(json.dumps(LLAMA | values))
    try:
        examine(folder)
    except CheckpointError as error:
        assert "config.json" in str(error)  # noqa: PT017
