"""Scales that were stored as their reciprocals are a suspicion of the scan; others of the same names are left alone."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.audit.scan import scan
from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.quantised_checkpoints import DOWN, UP, edit_config, edit_tensors, save_fp8


def suspicions(folder: Path) -> list[str]:
    """What the scan says."""
    found = scan(examine(folder), lambda *_: None)
    return [str(finding) for finding in found.findings if finding.level == "suspicion"]


def test_reciprocals_are_a_suspicion(tmp_path: Path) -> None:
    """Once for all weights."""
    folder = save_fp8(tmp_path / "source")

    def invert(tensors: dict[str, Any]) -> None:
        for name in (UP, DOWN):
            tensors[f"{name}_scale_inv"] = 1 / tensors[f"{name}_scale_inv"]

    assert suspicions(folder) == []
    edit_tensors(folder, invert)
    (found,) = suspicions(folder)
    assert found.startswith(f"{DOWN}_scale_inv (and 1 more): its least scale is ")
    assert "stored as its reciprocal" in found


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("l.weight_scale", "float8_e4m3fn"), ("l.weight_global_scale", "float32"), ("l.input_scale", "float32")],
)
def test_large_scales_that_are_right(tmp_path: Path, name: str, dtype: str) -> None:
    """Of NVFP4, whose scales have a scale, and of activations, which may be large."""
    import torch

    folder = save_fp8(tmp_path / "source")
    edit_tensors(folder, lambda tensors: tensors.update({name: torch.full((4, 4), 300.0).to(getattr(torch, dtype))}))

    assert suspicions(folder) == []


def test_a_plain_model_may_have_parameters_of_such_names(tmp_path: Path) -> None:
    """Where no config says that anything is quantised."""
    import torch

    folder = save_fp8(tmp_path / "source")
    edit_config(folder, quantization_config=None)
    edit_tensors(folder, lambda tensors: tensors.update({"l.scales": torch.full((4, 4), 300.0)}))

    assert suspicions(folder) == []
