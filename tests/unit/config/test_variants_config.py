"""Variants as a config lists them: names of the catalogue, and mappings of its own."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.config.model import ModelConfig, load_config
from npu_conformance.config.variants import Sign, Variant, implied_signs
from npu_conformance.errors import ConfigError


def variants_of(tmp_path: Path, text: str) -> ModelConfig:
    """A config with these variants."""
    path = tmp_path / "Model.yaml"
    path.write_text(f"model: a/b\nvariants: {text}\n", encoding="utf-8")
    return load_config(path)


def test_a_config_lists_variants(tmp_path: Path) -> None:
    """Names of the catalogue, and mappings of its own, judged after base and as_served."""
    config = variants_of(tmp_path, "[tp2, {name: small_blocks, options: {block_size: 16}}]")

    assert config.variant_names == ("base", "as_served", "tp2", "small_blocks")
    assert config.variants[1] == Variant(name="small_blocks", options={"block_size": 16})
    assert config.changes("tp2") == {"tensor_parallel_size": 2}
    assert config.changes("small_blocks") == {"block_size": 16}
    assert config.changes("base") == config.changes("as_served") == config.changes("not there") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grahp]", "grahp: unknown variant; did you mean 'graph'? (variants: graph, prefix_caching"),
        ("[base]", "base: unknown variant"),
        ("[graph, tp2, graph]", "variant 'graph' is listed twice"),
        ("[{name: mine, options: {}}, {name: mine, options: {}}]", "variant 'mine' is listed twice"),
        ("[{name: graph, options: {}}]", "graph: is a name of the suite's own; give your variant another"),
        ("[{name: as_served, options: {}}]", "as_served: is a name of the suite's own"),
        ("[{name: subject, options: {}}]", "subject: is a name of the suite's own"),
        ("[{name: 'my own', options: {}}]", "variants.0.name: 'my own' is no name. Expected at most 100 small letters"),
        ("[{name: mine}]", "mine: changes nothing of base; give it options or envs"),
        ("[{name: mine, options: {}, warm: true}]", "variants.0.warm: unknown key"),
        (
            "[{name: mine, options: {additional_config: {enable_reduce_sample: true}}}]",
            "additional_config.enable_reduce_sample makes vLLM-Ascend compute log-probs over a part of the vocabulary",
        ),
        ("[{name: mine, options: {hf_overrides: {rope_theta: 1}}}]", "hf_overrides: would change the candidate's"),
    ],
)
def test_variants_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """In one line that says what is wrong."""
    with pytest.raises(ConfigError) as caught:
        variants_of(tmp_path, text)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "signs"),
    [
        ({"enable_prefix_caching": True}, ("cached_tokens",)),
        ({"enable_lora": True, "max_loras": 1}, ("lora_layers",)),
        ({"tensor_parallel_size": 2, "enable_expert_parallel": True}, ("experts",)),
        ({"enforce_eager": False}, ("graph",)),
        ({"enforce_eager": False, "enable_prefix_caching": True}, ("graph", "cached_tokens")),
        ({"enforce_eager": True, "enable_prefix_caching": False, "block_size": 16}, ()),
        ({"enforce_eager": None, "enable_lora": None}, ()),
        ({}, ()),
    ],
)
def test_a_sign_is_implied_by_what_is_switched_on(options: dict[str, Any], signs: tuple[Sign, ...]) -> None:
    """What is switched off, or left to vLLM, implies none."""
    assert implied_signs(options) == signs


def test_what_would_corrupt_log_probs_may_be_off(tmp_path: Path) -> None:
    """And the section it is in may be left to vLLM."""
    config = variants_of(
        tmp_path,
        "[{name: mine, options: {additional_config: {enable_reduce_sample: false}}}, "
        "{name: other, options: {additional_config: null}}]",
    )

    assert config.changes("mine") == {"additional_config": {"enable_reduce_sample": False}}


def test_a_config_section_that_is_no_mapping_is_no_traceback(tmp_path: Path) -> None:
    """It is one line that names the file."""
    with pytest.raises(ConfigError, match=r"^[^\n]*\.yaml: [^\n]*additional_config: expected a mapping[^\n]*$"):
        variants_of(tmp_path, "[{name: mine, options: {additional_config: everything}}]")
