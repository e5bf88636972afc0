"""A twin as ModelSlim stores it: inspection finds nothing, and its integer arithmetic is that of its values."""

from pathlib import Path

import numpy as np

from npu_conformance.audit.published import read_published, why_unreadable
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.modelslim import schemes
from npu_conformance.checkpoints.quantised.activations import activations
from npu_conformance.engines.quantised import rounding
from tests.unit.helpers.modelslim_checkpoints import LAYERS, save_modelslim, save_plain

Q, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"


def test_it_is_its_base_rounded(tmp_path: Path) -> None:
    """Attention with static inputs, the MLP with dynamic ones; a weight is off by half a step at most."""
    plain = save_plain(tmp_path / "plain")
    found, base = inspect(save_modelslim(tmp_path / "codes", plain)), inspect(plain)

    assert [str(one) for one in found.findings if one.level != "note"] == []
    assert why_unreadable(found) is None
    by_scheme = schemes(found.folder)
    assert (by_scheme["W8A8"], by_scheme["W8A8_DYNAMIC"]) == (4 * LAYERS, 3 * LAYERS)
    assert len(activations(found)) == 7 * LAYERS
    for module in (Q, DOWN):
        values, original = (read_published(one, f"{module}.weight") for one in (found, base))
        step = load_tensor(found, f"{module}.weight_scale").float().numpy()
        assert (np.abs(values - original) <= step).all()
        assert np.abs(values - original).max() > 0


def test_its_integers_give_what_its_values_give(tmp_path: Path) -> None:
    """(codes x weight + quant_bias) x deq_scale, as an NPU multiplies, is the product of the values."""
    import torch

    found = inspect(save_modelslim(tmp_path / "codes", save_plain(tmp_path / "plain")))
    part = {name: load_tensor(found, f"{Q}.{name}") for name in ("weight", "quant_bias", "deq_scale", "input_scale")}
    states = torch.randn(5, part["weight"].shape[1], generator=torch.Generator().manual_seed(0))
    values = rounding(activations(found)[Q], found)(states)
    zero = load_tensor(found, f"{Q}.input_offset").int()
    codes = torch.round(values / part["input_scale"].float()).int() + zero

    whole = codes @ part["weight"].int().T + part["quant_bias"]
    expected = values @ torch.from_numpy(read_published(found, f"{Q}.weight")).T

    assert zero.item() != 0
    assert torch.allclose(whole * part["deq_scale"], expected, rtol=1e-4, atol=1e-4)
