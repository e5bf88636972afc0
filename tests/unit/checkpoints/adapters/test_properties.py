"""Adapters at random: never more than the suite's own error, and nothing silent where engines read something else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from npu_conformance.checkpoints.adapters.config import RANKS, lora_options, parse_config
from npu_conformance.checkpoints.adapters.inspect import examine_adapter
from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_adapters import CONFIG, matrices, write_adapter
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

# On a busy machine examples are slow in the making.
LIMITS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
KEYS = [*CONFIG, "use_dora", "use_rslora", "lora_bias", "init_lora_weights", "layer_replication", "target_parameters"]
CHANGES = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3)
PARTS = st.sampled_from(["model", "layers", "0", "experts", "q_proj", "lora_A", "lora_B", "weight", "bias", "\n", ""])
NAMES = st.lists(PARTS, max_size=9).map(".".join) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter's folder, which every example writes anew."""
    return write_adapter(tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Its model."""
    return examine(write(tmp_path_factory.mktemp("base"), LLAMA, llama()))


@LIMITS
@given(changed=CHANGES)
def test_any_config(folder: Path, base: Checkpoint, changed: dict[str, Any]) -> None:
    """Is inspected, each finding in one line that can be printed; what is served has a rank that vLLM has."""
    write_adapter(folder, **changed)

    findings = examine_adapter(folder, base, model="org/Base").findings

    assert all(str(one).isprintable() and len(str(one)) < 1000 for one in findings)
    if any(one.level == "error" and one.about == "adapter_config.json" for one in findings):
        return
    rank, alpha = (CONFIG | changed)["r"], (CONFIG | changed)["lora_alpha"]
    assert type(rank) is int
    assert lora_options(folder)["max_lora_rank"] in RANKS
    assert np.isfinite(alpha / rank)


@LIMITS
@given(text=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_as_config(folder: Path, text: bytes) -> None:
    """An object or not."""
    (folder / "adapter_config.json").write_bytes(text)
    try:
        config, findings = parse_config(folder)
    except CheckpointError:
        return
    assert config is None
    assert findings


@LIMITS
@given(names=st.lists(NAMES, max_size=4, unique=True), shape=st.lists(st.integers(0, 3), max_size=3))
def test_any_weights(folder: Path, base: Checkpoint, names: list[str], shape: list[int]) -> None:
    """Are inspected, and none of these is an adapter."""
    write_adapter(folder)
    save_file({name: np.ones(shape, dtype=np.float32) for name in names}, folder / "adapter_model.safetensors")

    findings = examine_adapter(folder, base).findings

    assert any(one.level == "error" for one in findings)
    assert all(str(one).isprintable() and len(str(one)) < 1000 for one in findings)


@LIMITS
@given(root=st.lists(st.sampled_from(["model", "language_model", "llm", "thinker", "text"]), max_size=3))
def test_any_other_prefix(folder: Path, base: Checkpoint, root: list[str]) -> None:
    """Is an error with the rename that fits: engines leave out what they do not find."""
    prefix = "".join(f"{part}." for part in root)
    write_adapter(folder, matrices(root=prefix))

    findings = examine_adapter(folder, base).findings

    told = f"from base_model.model.{prefix} to base_model.model.model., which fits"
    assert any(told in str(one) for one in findings) == (prefix != "model.")


@pytest.mark.engine
@LIMITS
@given(changed=CHANGES)
def test_what_is_accepted_is_accepted_by_vllm(folder: Path, changed: dict[str, Any]) -> None:
    """Its own reading of the file has no objection to a config in which inspection found no error."""
    from vllm.config.lora import LoRAConfig
    from vllm.lora.peft_helper import PEFTHelper

    write_adapter(folder, **changed)
    config, findings = parse_config(folder)
    if config is not None and not any(one.level == "error" for one in findings):
        helper = PEFTHelper.from_local_dir(str(folder), None)
        helper.validate_legal(LoRAConfig(max_lora_rank=lora_options(folder)["max_lora_rank"]))
