"""Keys of config.json that contradict each other: an error where another model is loaded, else who takes which."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.contradictions import contradictions
from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, llama, write

QWEN = {key: value for key, value in LLAMA.items() if key != "tie_word_embeddings"} | {"model_type": "qwen3"}
PLAIN: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e6}


def headless() -> Shapes:
    """A Llama whose embedding is its head."""
    return {name: entry for name, entry in llama().items() if name != "lm_head.weight"}


def findings(folder: Path, config: dict[str, Any], shapes: Shapes) -> list[str]:
    """What is said of such a folder."""
    return [f"{one.level} {one}" for one in examine(write(folder, config, shapes)).findings]


@pytest.mark.parametrize(
    ("changes", "shapes", "expected"),
    [
        ({}, headless(), "error config.json: tie_word_embeddings is missing, there is no lm_head, and the class"),
        (
            {"tie_word_embeddings": False, "text_config": QWEN | {"tie_word_embeddings": True}},
            headless(),
            "error config.json: tie_word_embeddings is true in its text_config and false at its top level, and there",
        ),
        ({"text_config": {}}, llama(), "error config.json: text_config is empty, and transformers takes it"),
        (
            {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": None},
            llama(),
            "error config.json: layer_types has sliding_attention, and sliding_window is null: take both",
        ),
        (
            {"torch_dtype": "float16", "dtype": "bfloat16"},
            llama(),
            "note config.json: torch_dtype is float16 and dtype is bfloat16: transformers 5 takes dtype",
        ),
        (
            {"rope_theta": 1e4, "rope_parameters": PLAIN},
            llama(),
            "note config.json: rope_theta is 10000 and rope_parameters.rope_theta is 1e+06: transformers 5 takes",
        ),
        ({"attention_bias": "no"}, llama(), "error config.json: attention_bias is 'no', transformers 5 takes true or"),
        (
            {"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_parameters": PLAIN},
            llama(),
            "warning config.json: rope_scaling says yarn and rope_parameters default: transformers 5 applies rope_sc",
        ),
    ],
)
def test_a_contradiction_is_named(tmp_path: Path, changes: dict[str, Any], shapes: Shapes, expected: str) -> None:
    """With who takes which, and what to do where it is wrong."""
    (found,) = findings(tmp_path, QWEN | changes, shapes)

    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("changes", "shapes"),
    [
        ({}, llama()),
        ({"tie_word_embeddings": True}, headless()),
        ({"model_type": "gemma"}, headless()),
        ({"model_type": "of somebody's own"}, headless()),
        ({"torch_dtype": None, "dtype": "bfloat16"}, llama()),
        ({"torch_dtype": "bfloat16", "dtype": "bfloat16"}, llama()),
        ({"rope_theta": 1e6, "rope_parameters": PLAIN, "rope_scaling": None}, llama()),
        ({"rope_parameters": PLAIN, "rope_scaling": {"rope_type": "default"}}, llama()),
        ({"rope_parameters": {"full_attention": PLAIN, "sliding_attention": {}}, "rope_theta": 1e4}, llama()),
        ({"layer_types": ["full_attention"] * 4, "sliding_window": None}, llama()),
        ({"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 128}, llama()),
        ({"layer_types": ["sliding_attention", "full_attention"] * 2}, llama()),
    ],
)
def test_what_agrees_is_silent(tmp_path: Path, changes: dict[str, Any], shapes: Shapes) -> None:
    """Both spellings, nulls, families whose class ties by itself, and those that are not known here."""
    assert findings(tmp_path, QWEN | changes, shapes) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["yarn", "qwen3", "sliding_attention"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rope_theta", "rope_type", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = ("tie_word_embeddings", "text_config", "layer_types", "sliding_window", "torch_dtype", "dtype", "model_type")
ROPES = ("rope_theta", "rope_scaling", "rope_parameters")


@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from([*KEYS, *ROPES]), JSON, max_size=4))
def test_any_values_are_lines_or_nothing(tmp_path: Path, values: dict[str, Any]) -> None:
    """No exception of any kind, whatever they are."""
    checkpoint = examine(write(tmp_path / "model", QWEN, headless()))
    checkpoint.config.clear()
    checkpoint.config.update(QWEN | values)

    assert all(str(finding).isprintable() for finding in contradictions(checkpoint))
