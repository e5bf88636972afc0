"""Quantisation configs and headers changed at random: a finding or one line, never a traceback, and nothing silent."""

import copy
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.quantisation.schema import read_options
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import Shapes, write

CONFIGS: list[dict[str, Any]] = [
    {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": ["lm_head"],
    },
    {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False, "checkpoint_format": "gptq"},
    {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "modules_to_not_convert": ["head"]},
    {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:auto_gptq"},
    {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ["lm_head", "re:.*gate"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True},
                "input_activations": None,
            }
        },
    },
    {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head*"]},
    {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head"]}},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PARTS = (
    *("weight", "weight_scale", "weight_scale_inv", "scale", "input_scale", "weight_packed", "weight_zero_point"),
    *("qweight", "qzeros", "scales", "g_idx", "k_scale"),
)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 4, 8, 32, 64, 128, 200]), max_size=3).map(tuple)
TENSORS = st.dictionaries(
    st.tuples(st.sampled_from(["l", "m.experts.1.up_proj", "lm_head"]), st.sampled_from(PARTS)).map(".".join),
    st.tuples(st.sampled_from(["F8_E4M3", "F8_E5M2", "BF16", "F16", "F32", "I32", "I8", "U8"]), SHAPES),
    max_size=6,
)


def paths(config: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where every value of a config is."""
    found = [(*before, key) for key in config]
    nested = (paths(value, (*before, key)) for key, value in config.items() if isinstance(value, dict))
    return found + [path for each in nested for path in each]


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A config with one of its values replaced, or left out."""
    config: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(CONFIGS)))
    *parents, key = draw(st.sampled_from(paths(config)))
    part = config
    for parent in parents:
        part = part[parent]
    if draw(st.booleans()):
        del part[key]
    else:
        part[key] = draw(JSON)
    return config


@settings(deadline=None, max_examples=120)
@given(
    quantisation=changed() | JSON, shapes=TENSORS, place=st.sampled_from(["quantization_config", "compression_config"])
)
def test_any_config_over_any_headers_is_read_or_refused(quantisation: Any, shapes: Shapes, place: str) -> None:
    """A config that is no object, or whose keys are wrong, is never passed over."""
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name), {place: quantisation}, shapes | {"n.weight": ("BF16", (4, 4))})
        try:
            checkpoint = examine(folder)
        except CheckpointError as error:
            # By this an exception of the inspection itself is told.
            assume("do not fit together" in str(error))
            raise

    assert checkpoint.parameters >= 0
    said = [finding for finding in checkpoint.findings if finding.level in ("error", "warning", "suspicion")]
    if quantisation is not None and (not isinstance(quantisation, dict) or read_options(checkpoint.quantisation)[1]):
        assert [finding for finding in said if finding.about == "config.json"]


@settings(deadline=None, max_examples=120)
@given(changed())
def test_what_is_wrong_is_said_by_its_key(quantisation: dict[str, Any]) -> None:
    """Or the schema has the very values that the config has."""
    quantisation.setdefault("quant_method", "fp8")
    options, wrong = read_options(quantisation)

    assert options is None or not wrong
    for line in wrong:
        assert "\n" not in line
        assert len(line) < 300
    for key, value in {} if options is None else quantisation.items():
        if isinstance(value, bool | int | str) and hasattr(options, key):
            assert getattr(options, key) == value
            assert type(getattr(options, key)) is type(value)
