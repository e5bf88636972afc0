"""compressed-tensors in any shape and way: both readings have the encoded values, or refuse what was changed."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.audit.published import read_published
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.conversion.plan import plan
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.compressed_checkpoints import KINDS, MODULE, Kind, save_kind
from tests.unit.helpers.quantised_checkpoints import edit_config

WEIGHT = f"{MODULE}.weight"


@st.composite
def kinds(draw: st.DrawFn) -> tuple[Kind, tuple[int, int]]:
    """Any way that is converted, and sizes that it fits; the rows need not fill a word or a block."""
    packed, size = draw(st.booleans()), draw(st.sampled_from([8, 16]))
    outputs, inputs = draw(st.integers(1, 20)), 8 * draw(st.integers(1, 4))
    scales = draw(st.sampled_from(["float32", "float16", "bfloat16"]))
    strategy = draw(st.sampled_from(["channel", "group"] if packed else ["tensor", "channel", "group", "block"]))
    if strategy == "group":
        inputs = size * draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["int"] if packed else ["int", "float"]))
    stored = {"int": "int-quantized", "float": "float-quantized"}[kind]
    return Kind(
        "pack-quantized" if packed else draw(st.sampled_from([stored, "naive-quantized"])),
        strategy,
        draw(st.sampled_from([4, 8])) if packed else 8,
        kind,
        group_size=size if strategy == "group" else None,
        block=(draw(st.integers(1, 9)), draw(st.integers(1, 9))) if strategy == "block" else None,
        symmetric=kind == "float" or draw(st.booleans()),
        actorder=draw(st.sampled_from([None, "group", "weight"])) if strategy == "group" else None,
        scales=scales,
    ), (outputs, inputs)


def converted(folder: Path) -> Any:
    """What convert makes of the weight, float32."""
    conversion = plan(examine(folder), "float32", None)
    conversion.check()
    (output,) = (output for output in conversion.outputs() if output.name == WEIGHT)
    return np.concatenate([block.numpy() for block in conversion.blocks(output, [])])


@settings(deadline=None, max_examples=40)
@given(drawn=kinds(), seed=st.integers(0, 1000))
def test_whatever_was_encoded_comes_out(drawn: tuple[Kind, tuple[int, int]], seed: int) -> None:
    """Exactly, from both readings, and inspection has nothing to say."""
    kind, shape = drawn
    with tempfile.TemporaryDirectory() as name:
        folder, values = save_kind(Path(name) / "source", kind, shape, seed)
        checkpoint = examine(folder)

        assert [str(finding) for finding in checkpoint.findings] == []
        np.testing.assert_array_equal(converted(folder), values)
        np.testing.assert_array_equal(read_published(checkpoint, WEIGHT), values)


CHANGES: dict[str, Any] = {
    "num_bits": st.sampled_from([2, 3, 4, 8, 16, "4", None]),
    "type": st.sampled_from(["int", "float", "uint", None]),
    "strategy": st.sampled_from(["tensor", "channel", "group", "block", "token", "attn_head", None, 1]),
    "group_size": st.sampled_from([-1, 0, 8, 16, 32, 64, 128, None]),
    "block_structure": st.sampled_from([[1, 16], [44, 64], [0, 1], "1x1", None]),
    "symmetric": st.sampled_from([True, False, None, "yes"]),
    "actorder": st.sampled_from(["group", "weight", True, False, "best", None]),
    "format": st.sampled_from([*{kind.format for kind in KINDS.values()}, "dense", "marlin-24", None, 1]),
}


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(list(KINDS.values())), key=st.sampled_from(sorted(CHANGES)), data=st.data())
def test_other_options_are_refused_or_read_alike(kind: Kind, key: str, data: st.DataObject) -> None:
    """One option is another: a refusal in one line, or the same numbers on both sides."""
    with tempfile.TemporaryDirectory() as name:
        folder, _ = save_kind(Path(name) / "source", kind)
        config = kind.config
        place = config if key == "format" else config["config_groups"]["group_0"]["weights"]
        place[key] = data.draw(CHANGES[key])
        edit_config(folder, quantization_config=config)
        try:
            values = converted(folder)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return
        try:
            again = read_published(examine(folder), WEIGHT)
        except CheckpointError as error:
            assert "2 bits" in str(error)  # noqa: PT017
            return
        np.testing.assert_array_equal(values, again)
