"""Options and variables with which a comparison would mean nothing, wherever they are set."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import ConfigError
from tests.unit.config.test_variants_config import variants_of


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [
        ("enable_reduce_sample", True, False),
        ("mega_moe_max_tokens", 4096, None),
        ("hamming_sparse", {"enabled": True, "sparse_json_location": "x.json"}, {"enabled": False}),
        ("enable_sparse_c8", True, False),
        ("enable_sparse_sfa_c8", True, False),
        ("enable_sparse_li_c8", True, False),
        ("sparse_kv_offload_config", {"enabled": True}, {"enabled": False}),
        ("rejection_sampler_config", {"enable_entropy_verify": True}, {"enable_block_verify": False}),
    ],
)
def test_what_would_make_another_model_is_refused(name: str, on: Any, off: Any) -> None:
    """Wherever it is set, with why and what to do; off it may be written down."""
    variable = f"VLLM_ASCEND_{name.upper()}"
    for content in (
        {"serve": {"additional_config": {name: on}}},
        {"envs": {variable: "1"}},
        {"variants": [{"name": "mine", "envs": {variable: "1"}}]},
        {"variants": [{"name": "mine", "options": {"additional_config": {name: on}}}]},
    ):
        with pytest.raises(ValueError, match=rf"{name}|{variable}") as caught:
            ModelConfig.model_validate({"model": "a/b", **content})
        assert "remove it" in str(caught.value)
    with pytest.raises(ValueError, match=r"engine_args\.additional_config: has a key of its own in serve"):
        ModelConfig.model_validate({"model": "a/b", "serve": {"engine_args": {"additional_config": {name: on}}}})
    ModelConfig.model_validate({"model": "a/b", "serve": {"additional_config": {name: off}}, "envs": {variable: "0"}})


def test_a_variant_chooses_no_devices(tmp_path: Path) -> None:
    """As a config does not."""
    with pytest.raises(ConfigError, match="each engine is lent devices"):
        variants_of(tmp_path, "[{name: mine, envs: {ASCEND_RT_VISIBLE_DEVICES: '0'}}]")
