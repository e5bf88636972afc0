"""What a value of a config may be: names, sizes, limits, environment variables, options of a variant."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.config.limits import FIGURES
from npu_conformance.config.model import ModelConfig, config_names, load_config
from npu_conformance.config.prompts import load_prompts
from npu_conformance.config.variants import ranks
from npu_conformance.errors import ConfigError

SHIPPED = Path(__file__).parents[3] / "model_configs"


def load(folder: Path, text: str, name: str = "Model") -> ModelConfig:
    """A config of this text."""
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("serve: {tensor_parallel_size: 4097}", "serve.tensor_parallel_size: expected less than or equal to 4096"),
        ("serve: {max_model_len: 16777217}", "serve.max_model_len: expected less than or equal to 16777216"),
        (
            "serve: {engine_args: {pipeline_parallel_size: two}}",
            "expected a whole number from 1 to 4096, found 'two'",
        ),
        (
            "serve: {engine_args: {pipeline_parallel_size: true}}",
            "expected a whole number from 1 to 4096, found 'True'",
        ),
        (
            "serve: {engine_args: {block_size: fp8}}",
            "block_size: expected a whole number from 1 to 1048576, found 'fp8'",
        ),
        ("serve: {engine_args: {kv_cache_memory_bytes: 4GiB}}", "kv_cache_memory_bytes: expected a whole number"),
        ("variants: [{name: x, options: {dtype: ~}}]", "variants.0.options: dtype: expected 'bfloat16', 'float16' or"),
        ("serve: {engine_args: {model: a/b}}", "model: the suite gives it to the engine itself; remove it"),
        ("serve: {engine_args: {logits_processors: []}}", "logits_processors: the suite gives it"),
        ("serve: {engine_args: {worker_extension_cls: a.b}}", "worker_extension_cls: the suite gives it"),
        ("serve: {dtype: half}", "serve.dtype: expected bfloat16, float16, float32, found 'half'; write float16"),
        (
            "serve: {dtype: auto}",
            "serve.dtype: auto: which limits hold depends on it; write the dtype that config.json",
        ),
        ("max_tokens: 131073", "max_tokens: expected less than or equal to 131072"),
        ("deadline: 99999999", "deadline: expected less than or equal to 2592000"),
        (
            "limits: {token_agreement: {value: 2.0, reason: it was measured}}",
            "token_agreement.value: expected a limit from 0 to 1, found 2",
        ),
        (
            "limits: {kl_mean: {value: -1, reason: it was measured}}",
            "kl_mean.value: expected a limit of 0 or more, found -1",
        ),
        ("envs: {'A=B': x}", "envs: 'A=B': no environment variable can have this name or value"),
        (f"envs: {{A: {'x' * 40_000}}}", "envs: 'A': no environment variable can have this name or value"),
        ("envs: {'': x}", "envs: '': no environment variable can have"),
        ("envs: {A: true}", 'envs: A: expected text, found True; write it in quotes, such as A: "1"'),
        ("envs: {A: 0.5}", "envs: A: expected text, found 0.5; write it in quotes"),
        ("envs: [A]", "envs: expected mapping, found ['A']"),
        (
            "variants: [{name: x, options: {tensor_parallel_size: two}}]",
            "variants.0.options: tensor_parallel_size: expected",
        ),
        (
            "variants: [{name: x, options: {max_num_seqs: 0}}]",
            "variants.0.options: max_num_seqs: expected greater than 0, found 0",
        ),
        (
            "variants: [{name: x, options: {trust_remote_code: true}}]",
            "trust_remote_code: belongs under serve, a variant cannot change it",
        ),
        ("variants: [{name: x, options: {worker_extension_cls: x}}]", "worker_extension_cls: the suite gives it"),
        ("variants: [{name: 3, options: {}}]", "variants.0.name: expected string, found 3"),
        ("variants: [3]", "variants.0: expected string or mapping, found 3"),
        ("prompts: [3]", "prompts.0: expected mapping, found 3"),
        ("prompts: general", "prompts: expected list, found 'general'"),
        ("prompts: [{set: general, expect: 3.5}]", "prompts.0.expect: expected boolean or list, found 3.5"),
        ("prompts: [{set: general, expect: [3]}]", "prompts.0.expect.0: expected string, found 3"),
        (f"variants: [{'x' * 3000}]", "x…"),
        (f"prompts: [{'x' * 300}]", "is no name. Expected at most 100 letters"),
        ("twin: a b", "twin: 'a b' is no name"),
        ("labels: {pattern: '(?P<x>(?R)?a)'}", "labels.pattern: not a regular expression"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """In one line, without the names of pydantic's forms."""
    with pytest.raises(ConfigError, match=re.escape(told)) as raised:
        load(tmp_path, f"model: a/b\n{text}\n")

    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 1500
    assert not re.search(r"Variant\.|tuple|union|dictionary|\.str:", str(raised.value))


def test_what_is_accepted(tmp_path: Path) -> None:
    """A number as a variable's value; None as vLLM's own default; a limit at its bound."""
    config = load(
        tmp_path,
        "model: a/b\nenvs: {HCCL_BUFFSIZE: 1024}\nvariants: [{name: x, options: {max_num_seqs: ~, seed: 7}}]\n"
        "limits: {token_agreement: {value: 1, reason: it was measured}}\n"
        "serve: {engine_args: {pipeline_parallel_size: 2, prefill_context_parallel_size: ~}}",
    )

    assert config.envs == {"HCCL_BUFFSIZE": "1024"}
    assert config.changes("x") == {"max_num_seqs": None, "seed": 7}
    assert ranks(config.options("base")) == 2


@pytest.mark.parametrize("name", ["my model", "Qwen3[8B]", "模型", "a,b", "-x", ".x", "a'b", "x" * 101])
def test_a_files_name_is_one_that_can_be_selected(tmp_path: Path, name: str) -> None:
    """By `-k`, and as a folder's name."""
    with pytest.raises(ConfigError, match=r"the file's name is the model's: .* is no name.* rename the file"):
        load(tmp_path, "model: a/b", name)


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    """`-k` would select both."""
    load(tmp_path, "model: a/b", "Qwen3-8B")

    with pytest.raises(ConfigError, match="Qwen3-8B is beside it, and `-k` takes capitals and small letters alike"):
        load(tmp_path, "model: a/b", "qwen3-8b")
    (tmp_path / "qwen3-8b.yaml").unlink()
    with pytest.raises(ConfigError, match=r"no config of this name; did you mean .Qwen3-8B"):
        load_config(tmp_path / "qwen3-8b.yaml")


def test_a_config_that_is_not_there_is_answered_with_one_that_is(tmp_path: Path) -> None:
    """And the others by name."""
    load(tmp_path, "model: a/b", "Qwen3Guard-Gen-4B")

    with pytest.raises(ConfigError, match=r"no config of this name; did you mean 'Qwen3Guard-Gen-4B'\? \(configs: "):
        load_config(tmp_path / "Qwen3Guard.yaml")
    (tmp_path / "Broken.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "Broken.yaml")


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        {},
        [],
        "",
        True,
        -1,
        0,
        1.5,
        2**63 - 1,
        "text",
        [None],
        {"a": {}},
        [[[]]],
        "(",
        {"name": "x"},
        {"set": "a"},
        {"value": 1},
        {"reason": []},
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(config_names(SHIPPED)), st.data())
def test_any_change_of_a_good_config_is_refused_in_a_line_or_used(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """What is accepted gives options, limits and prompts."""
    content = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"))
    place = content
    while isinstance(place, dict | list) and place:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = data.draw(ODD)
            break
        place = place[key]
    if data.draw(st.booleans()):
        content[data.draw(st.sampled_from([*ModelConfig.model_fields, "promts"]))] = data.draw(ODD)
    try:
        config = load(tmp_path, yaml.safe_dump(content, allow_unicode=True))
        load_prompts(config.prompts, SHIPPED / "prompts")
    except ConfigError as error:
        told = str(error)
    else:
        told = ""
        config.model_dump_json()
        assert all(ranks(config.options(variant)) >= 1 for variant in config.variant_names)
        assert all(config.changes_in_words(variant) is not None for variant in config.variant_names)
        assert not any(math.isnan(config.limit(figure) or 0.0) for figure in FIGURES)
    assert len(told.splitlines()) <= 1
