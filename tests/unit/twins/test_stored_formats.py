"""Twins in quantised formats: inspection finds nothing, and both readings have the base's weights but for rounding."""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from npu_conformance.audit.audit import audit
from npu_conformance.audit.published import read_published, why_unreadable
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.conversion.convert import convert
from npu_conformance.twins.formats import store
from npu_conformance.twins.recipes import RECIPES, Stored
from tests.unit.helpers.quantised_checkpoints import load_all, save_checkpoint, unwatched
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama

CONFIG = LLAMA | {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "head_dim": 64}
Q = "model.layers.0.self_attn.q_proj.weight"
# Steps between neighbouring codes, over the greatest weight of a group; rounding loses half of one.
STEPS = {"fp8": 32 / 448, "gptq": 1 / 127, "awq": 2 / 15, "w4a16": 2 / 15, "w8a8": 1 / 127, "fp8-dynamic": 32 / 448}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama that has learned nothing."""
    import torch

    random = torch.Generator().manual_seed(0)
    config = CONFIG | {"dtype": "bfloat16", "model_type": "llama"}
    tensors = {
        name: (torch.randn(shape, generator=random) / 50).to(torch.bfloat16)
        for name, (_, shape) in llama(CONFIG).items()
    }
    return save_checkpoint(tmp_path_factory.mktemp("base") / "base", tensors, config)


def test_every_format_has_a_twin() -> None:
    """And its step here, but ModelSlim's, which is not converted (`test_modelslim_twin.py`)."""
    known = get_args(get_type_hints(Stored)["format"])

    assert {recipe.format for recipe in RECIPES.values() if isinstance(recipe, Stored)} == set(known)
    assert set(known) == {*STEPS, "modelslim"}


@pytest.mark.parametrize("form", STEPS)
def test_a_stored_twin_is_its_base_rounded(tmp_path: Path, base: Path, form: Any) -> None:
    """It is converted to the published values exactly."""
    twin = tmp_path / "twin"
    twin.mkdir()
    store(form, base, twin)
    checkpoint = inspect(twin)
    convert(twin, tmp_path / "plain", "float32", unwatched)
    result = audit(checkpoint, inspect(tmp_path / "plain"), unwatched)

    assert [str(finding) for finding in checkpoint.findings if finding.level != "note"] == []
    assert why_unreadable(checkpoint) is None
    assert result.passed
    assert result.exact == result.parameters == len(load_all(base))
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    published, original = read_published(checkpoint, Q), read_published(inspect(base), Q)
    assert 0 < np.abs(published - original).max() < STEPS[form] * np.abs(original).max()
