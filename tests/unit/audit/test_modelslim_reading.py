"""ModelSlim's weights by the second reading, against values worked out by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.audit.published import parameter_names, read_published, why_unreadable
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.weight_files import read_weights
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.quantised_checkpoints import save_checkpoint

UP = "model.layers.0.mlp.up_proj"


def checkpoint(folder: Path, scheme: str, offset: float = 0.0, *, scale: Any = ((0.5,), (0.25,))) -> Checkpoint:
    """Two rows of codes, with what ModelSlim stores beside them, and a norm."""
    import torch

    tensors = {
        f"{UP}.weight": torch.tensor([[-128, 127], [3, 4]], dtype=torch.int8),
        f"{UP}.weight_scale": torch.tensor(scale),
        f"{UP}.weight_offset": torch.full((2, 1), offset),
        f"{UP}.input_scale": torch.tensor([0.1]),
        f"{UP}.deq_scale": torch.tensor([0.05, 0.025]),
        "model.norm.weight": torch.ones(2),
    }
    save_checkpoint(folder, tensors, {})
    (folder / "quant_model_description.json").write_text(
        json.dumps({f"{UP}.weight": scheme, "model.norm.weight": "FLOAT"})
    )
    return Checkpoint(folder, {}, read_weights(folder).tensors)


def test_codes_times_the_scale_of_their_row(tmp_path: Path) -> None:
    """What serves integer products only is no parameter."""
    found = checkpoint(tmp_path / "x", "W8A8")

    assert why_unreadable(found) is None
    assert sorted(parameter_names(found)) == [f"{UP}.weight", "model.norm.weight"]
    assert read_published(found, f"{UP}.weight").tolist() == [[-64.0, 63.5], [0.75, 1.0]]


def test_only_w8a16_has_an_offset(tmp_path: Path) -> None:
    """It is added to a code; of W8A8 no engine would add it."""
    sixteen = checkpoint(tmp_path / "x", "W8A16", 1.0)
    assert read_published(sixteen, f"{UP}.weight").tolist() == [[-63.5, 64.0], [1.0, 1.25]]
    with pytest.raises(CheckpointError, match=r"up_proj\.weight_offset is not zero, and vLLM-Ascend leaves it out"):
        read_published(checkpoint(tmp_path / "y", "W8A8_DYNAMIC", 1.0), f"{UP}.weight")


def test_a_scale_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """One for all rows is of another format."""
    with pytest.raises(CheckpointError, match=r"up_proj\.weight_scale has shape \[1\]; expected \[2, 1\]"):
        read_published(checkpoint(tmp_path / "x", "W8A8", scale=[0.5]), f"{UP}.weight")


def test_other_schemes_are_not_read(tmp_path: Path) -> None:
    """Two codes a byte would be taken for one."""
    told = why_unreadable(checkpoint(tmp_path / "x", "W4A8_DYNAMIC"))

    assert told is not None
    assert told.startswith("weights quantised by ModelSlim with scheme W4A8_DYNAMIC are not read here")
