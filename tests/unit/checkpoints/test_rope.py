"""Rotary frequencies: as config.json asks for them, and as an engine's table has them."""

import json

import numpy as np
import pytest

from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes
from npu_conformance.engines.modules import rotation
from tests.unit.helpers.small_configs import MODEL, TYPES


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("theta", [10_000.0, 1_000_000.0])
def test_frequencies_are_those_of_transformers(kind: str, theta: float) -> None:
    """Which are computed by another's lines; in both spellings of the config."""
    import torch  # noqa: F401
    import transformers
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = TYPES[kind]
    old = {**MODEL, "rope_theta": theta, "rope_scaling": dict(rope)}
    new = {key: value for key, value in MODEL.items() if key != "rope_theta"}
    new["rope_parameters"] = {**rope, "rope_theta": theta}
    if rope["rope_type"] == "longrope":
        old["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    ropes = declared_ropes(old)
    for mine, length in zip(ropes, (None, 4096), strict=False):
        config = transformers.LlamaConfig(**json.loads(json.dumps(old)))
        theirs, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu", seq_len=length)
        assert np.allclose(mine.frequencies, theirs.numpy(), rtol=1e-5)
        assert mine.scale == pytest.approx(scale)
    assert [rope.frequencies.tolist() for rope in declared_ropes(new)] == [one.frequencies.tolist() for one in ropes]


def test_heads_that_are_rotated_in_part_and_kinds_of_layers() -> None:
    """A partial factor in either place; a rope for each kind of layer that there is, in either spelling."""
    assert len(declared_ropes({**MODEL, "partial_rotary_factor": 0.25})[0].frequencies) == 8
    assert len(declared_ropes({**MODEL, "rotary_dim": 32})[0].frequencies) == 16
    nested = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    text = {key: value for key, value in MODEL.items() if key != "rope_theta"}
    assert [rope.theta for rope in declared_ropes({**text, "rope_parameters": nested})] == [1e6, 1e4]
    one_kind = {**text, "rope_parameters": nested, "layer_types": ["full_attention"]}
    assert [rope.theta for rope in declared_ropes(one_kind)] == [1e6]
    gemma = {**MODEL, "rope_local_base_freq": 10_000, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    assert [(rope.kind, rope.theta) for rope in declared_ropes(gemma)] == [("linear", 1e6), ("default", 1e4)]
    mrope = {**MODEL, "rope_scaling": {"type": "mrope", "mrope_section": [16, 8, 8]}}
    assert declared_ropes(mrope)[0].frequencies.tolist() == declared_ropes(MODEL)[0].frequencies.tolist()


def test_kinds_of_layers_under_flat_keys() -> None:
    """As MiMo-V2 has them; a scaling that may be meant for one kind is not taken for all, but for gpt-oss's."""
    mimo = {**MODEL, "swa_rope_theta": 10_000}
    assert [rope.theta for rope in declared_ropes(mimo)] == [1e6, 1e4]
    kinds = ["sliding_attention", "full_attention"]
    olmo = {**MODEL, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "layer_types": kinds}
    with pytest.raises(UnknownRopeError, match="several kinds of layers, and a scaling"):
        declared_ropes(olmo)
    assert [rope.kind for rope in declared_ropes({**olmo, "model_type": "gpt_oss"})] == ["linear"]
    assert [rope.kind for rope in declared_ropes({**MODEL, "layer_types": kinds})] == ["default"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("scale", [1.0, 1.1386])
def test_a_table_tells_its_frequencies(dtype: str, scale: float) -> None:
    """Within the last places of the dtype that it is kept in, down to the slowest pair."""
    import torch

    exact = 5_000_000.0 ** (-np.arange(64) / 64)
    angles = np.outer([0, *(2**power for power in range(15))], exact)
    table = torch.tensor(np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * scale)
    rows = table.to(getattr(torch, dtype)).double().numpy()
    found, told = rotation(rows, 64)

    assert np.abs(found / exact - 1).max() < (1e-5 if dtype == "float32" else 0.01)
    assert told == pytest.approx(scale, rel=0.005)
