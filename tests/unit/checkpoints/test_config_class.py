"""What config classes take for keys that are left out, as transformers has it; and what doctor makes of such keys."""

import json
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.__main__ import main
from npu_conformance.checkpoints import config_class as module
from npu_conformance.checkpoints.config_class import config_class
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.shapes import SIZES, corrections
from tests.unit.checkpoints.test_families import FAMILIES
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

ASKED = (*SIZES, "tie_word_embeddings", "rms_norm_eps")
VALUES: tuple[Any, ...] = (None, 3, 2.5, True, "x", [1], {})
QWEN3 = LLAMA | {"model_type": "qwen3"}


@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_5", "qwen3_5_text", "gemma3", "mistral3"])
def test_defaults_are_those_of_the_class(family: str) -> None:
    """Read from its source, without the class."""
    from transformers import CONFIG_MAPPING

    found, made = config_class({"model_type": family}), CONFIG_MAPPING[family]()

    assert found.defaults
    for key in ASKED:
        if found.defaults.get(key) is not None:
            assert found.defaults[key] == getattr(made, key)


def refusal(made: Any, key: str, value: Any) -> bool | None:
    """Whether a class refuses a value for its type; None where it goes wrong later, over what it computes of it."""
    from huggingface_hub.errors import StrictDataclassFieldValidationError

    try:
        made(**{key: value})
    except StrictDataclassFieldValidationError as error:
        return f"'{key}'" in str(error) and "TypeError" in str(error)
    except Exception:
        return None
    return False


@pytest.mark.parametrize("family", ["qwen3", "llama", "qwen3_5_text", "gemma3_text", "deepseek_v3", "gpt_oss"])
def test_what_a_class_refuses_is_what_is_said_to_be_refused(family: str) -> None:
    """By the types of its fields."""
    from transformers import CONFIG_MAPPING

    made, found = CONFIG_MAPPING[family], config_class({"model_type": family})

    assert {"vocab_size", "rms_norm_eps", "attention_bias"} <= found.types.keys()
    for key in found.types.keys() - {"layer_types", "rope_parameters"}:  # which are put right first
        for value in VALUES:
            assert refusal(made, key, value) in (found.refuses(key, value) is not None, None), (key, value)


def test_classes_of_transformers_4_have_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a class computes has no default, and null none of its own; a base class's defaults count."""
    folder = tmp_path / "models" / "odd"
    folder.mkdir(parents=True)
    (folder / "configuration_odd.py").write_text(
        "class Base(PretrainedConfig):\n"
        "    def __init__(self, vocab_size=7, rms_norm_eps=1e-6, **kwargs):\n"
        "        self.vocab_size = vocab_size\n"
        "class OddConfig(Base):\n"
        '    model_type = "odd"\n'
        '    attribute_map = {"n_layer": "num_hidden_layers"}\n'
        "    def __init__(self, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, head_dim=None, odd=f(1)):\n"
        "        self.hidden_size = 2 * num_attention_heads\n"
        "        self.head_dim = head_dim if head_dim is not None else hidden_size // num_attention_heads\n"
    )
    spec = ModuleSpec("transformers", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(module, "find_spec", lambda _name: spec)

    found = config_class({"model_type": "odd", "n_layer": 3}).defaults

    assert {key: found.get(key, "none") for key in SIZES} == {
        "vocab_size": 7,
        "hidden_size": "none",
        "num_hidden_layers": "none",
        "num_attention_heads": 4,
        "num_key_value_heads": "none",
        "head_dim": None,
        "intermediate_size": "none",
    }


@pytest.mark.parametrize("key", SIZES)
def test_a_size_that_is_missing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    """Where the class takes another; the message says which."""
    taken = config_class(QWEN3).defaults[key]
    write(tmp_path, {name: value for name, value in QWEN3.items() if name != key}, llama())

    assert corrections(examine(tmp_path)) == {key: (f"missing, for which transformers takes {taken}", LLAMA[key])}
    assert main(["doctor", str(tmp_path), "--fix-config"]) == 0
    assert f"{key}: missing, for which transformers takes {taken} -> {LLAMA[key]}" in capsys.readouterr().out
    assert json.loads((tmp_path / "config.json").read_bytes()) == QWEN3


@pytest.mark.parametrize(
    ("model_type", "left_out"),
    [
        ("llama", {"head_dim"}),
        ("qwen2", {"head_dim"}),
        ("of somebody's own", set(SIZES)),
        ("../qwen3", set(SIZES)),
        (None, set(SIZES)),
    ],
)
def test_what_a_class_takes_rightly_may_be_missing(tmp_path: Path, model_type: Any, left_out: set[str]) -> None:
    """And of a class that is not known nothing is said."""
    config = {key: value for key, value in LLAMA.items() if key not in left_out} | {"model_type": model_type}

    assert examine(write(tmp_path, config, llama())).findings == ()


def test_a_class_beside_the_weights_is_another(tmp_path: Path) -> None:
    """Whatever its type is called."""
    config = {key: value for key, value in QWEN3.items() if key != "head_dim"} | {"auto_map": {"AutoConfig": "own.C"}}

    assert examine(write(tmp_path, config, llama())).findings == ()


@pytest.mark.parametrize("nested", [False, True])
def test_null_that_transformers_refuses_is_an_error(tmp_path: Path, nested: bool) -> None:
    """With what the class would take without the key."""
    text = QWEN3 | {"rms_norm_eps": None, "sliding_window": None}
    config = {"tie_word_embeddings": False, "text_config": text} if nested else text

    (finding,) = examine(write(tmp_path, config, llama())).findings

    assert str(finding) == (
        "config.json: rms_norm_eps is null, transformers 5 takes a decimal such as 1.0: write the published value, or "
        "remove it (1e-06 then)"
    )


@settings(max_examples=40, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(SIZES),
    value=st.none() | st.just(0) | st.integers(-5, 200) | st.floats() | st.text(max_size=3) | st.booleans(),
    missing=st.booleans(),
)
def test_any_size_is_right_or_corrected(tmp_path: Path, key: str, value: Any, missing: bool) -> None:
    """Whatever stands in place of the right one, or nothing."""
    config = {name: one for name, one in QWEN3.items() if name != key} | ({} if missing else {key: value})
    folder = tmp_path / "model"
    if not folder.is_dir():
        write(folder, QWEN3, llama())
    (folder / "config.json").write_text(json.dumps(config))

    found = {name: right for name, (_, right) in corrections(examine(folder)).items()}

    assert found == ({} if not missing and value == LLAMA[key] and type(value) is int else {key: LLAMA[key]})
