"""Mistakes of reading compressed-tensors, made by changing what is read, are named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.audit.audit import audit
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.conversion.convert import convert
from tests.unit.helpers.compressed_checkpoints import GROUP, KINDS, MODULE, Kind, save_kind
from tests.unit.helpers.published_checkpoints import ignore, only_problem
from tests.unit.helpers.quantised_checkpoints import edit_tensors, unwatched

# The code 8 in each place of a word: the middle of four bits.
MIDDLE = int.from_bytes(b"\x88" * 4, "little", signed=True)
BLOCKS, ASYMMETRIC = KINDS["FP8 in blocks"], KINDS["W4A16 with zero points"]

MISTAKES: dict[str, tuple[Kind, str, Callable[[Any], Any]]] = {
    "weight_g_idx had been ignored": (
        KINDS["W4A16 in order of activations"],
        "weight_g_idx",
        lambda order: order.sort().values,
    ),
    "no zero point had been subtracted": (ASYMMETRIC, "weight_zero_point", lambda words: words * 0 + MIDDLE),
    "its packed codes had been read as two's complement": (GROUP, "weight_packed", lambda words: words ^ MIDDLE),
    "no scale had been applied": (BLOCKS, "weight_scale", lambda scale: scale * 0 + 1),
    "its scale had been applied twice": (BLOCKS, "weight_scale", lambda scale: scale * scale),
    "one scale had been taken for the whole tensor": (
        BLOCKS,
        "weight_scale",
        lambda scale: scale * 0 + scale[0, 0],
    ),
    "the scales were transposed": (BLOCKS, "weight_scale", lambda scale: scale.T.contiguous()),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_of_reading_is_named(tmp_path: Path, words: str) -> None:
    """A converter that read the part so would have written these weights."""
    kind, part, mistake = MISTAKES[words]
    source, _ = save_kind(tmp_path / "source", kind)
    misread, _ = save_kind(tmp_path / "misread", kind)
    name = f"{MODULE}.{part}"
    edit_tensors(misread, lambda tensors: tensors.update({name: mistake(tensors[name])}))
    convert(misread, tmp_path / "out", "float32", unwatched)

    problem = only_problem(audit(inspect(source), inspect(tmp_path / "out"), ignore), MODULE)

    assert problem.endswith(f"; as if {words}")
