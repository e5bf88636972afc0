"""Quantised checkpoints damaged at random: what convert writes is what the second reading has, or it leaves nothing."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.audit.published import parameter_names, read_published
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.conversion.convert import convert
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.awq_checkpoints import save_awq
from tests.unit.helpers.compressed_checkpoints import KINDS, save_kind
from tests.unit.helpers.quantised_checkpoints import EMBEDDING, edit_tensors, load_all, save_checkpoint, save_fp8

MODULE = "model.layers.0.mlp.up_proj"
VALUES = st.sampled_from([0.0, -1.0, float("nan"), float("inf"), 1e30, 1e-30, 0.5])


def save_ordered_gptq(folder: Path) -> Path:
    """Groups of any inputs."""
    return save_gptq(folder, desc_act=True)


def save_compressed_fp8(folder: Path) -> Path:
    """Of compressed-tensors."""
    return save_kind(folder, KINDS["FP8 in blocks"])[0]


def save_packed(folder: Path) -> Path:
    """Of compressed-tensors, with zero points."""
    return save_kind(folder, KINDS["W4A16 with zero points"])[0]


DAMAGE = ["nothing", "lost", "renamed", "copied", "cut", "flat", "stacked", "dtype", "value", "byte"]
DTYPES = ["int8", "int32", "int64", "float64", "bfloat16", "float8_e5m2"]
ENDS = ["weight", "k_scale", "weight_scale", "weight_zero_point", "input_zero_point", "output_scale"]


def save_gptq(folder: Path, desc_act: bool = False) -> Path:
    """A weight of 16 inputs and 8 outputs in 4 bits and two groups, beside an embedding."""
    import torch

    random = torch.Generator().manual_seed(0)
    tensors = {
        f"{MODULE}.qweight": torch.randint(-(2**31), 2**31, (2, 8), generator=random).to(torch.int32),
        f"{MODULE}.qzeros": torch.full((2, 1), 0x77777777, dtype=torch.int32),
        f"{MODULE}.scales": (torch.rand(2, 8, generator=random) / 10 + 0.01).to(torch.float16),
        f"{MODULE}.g_idx": torch.arange(16, dtype=torch.int32) % 2
        if desc_act
        else torch.arange(16, dtype=torch.int32) // 8,
        EMBEDDING: torch.randn(10, 16, generator=random).to(torch.bfloat16),
    }
    about = {"quant_method": "gptq", "bits": 4, "group_size": 8, "sym": True, "desc_act": desc_act}
    return save_checkpoint(folder, tensors, {"vocab_size": 10, "dtype": "float32", "quantization_config": about})


def damage(tensors: dict[str, Any], data: st.DataObject) -> None:
    """One tensor is lost, renamed, cut, of another dtype, or has another value in it."""
    import torch

    name = data.draw(st.sampled_from(sorted(tensors)))
    tensor = tensors.pop(name)
    match data.draw(st.sampled_from(DAMAGE)):
        case "nothing":
            tensors[name] = tensor
        case "renamed":
            others = [f"{name}_scale", *(f"{MODULE}.{end}" for end in ENDS)]
            tensors[data.draw(st.sampled_from(others))] = tensor
        case "copied":
            tensors |= {name: tensor, f"{MODULE}.{data.draw(st.sampled_from(['weight', 'qweight']))}": tensor.clone()}
        case "cut":
            tensors[name] = tensor.reshape(-1)[:-1].clone() if tensor.ndim < 2 else tensor[:-1].clone()
        case "flat":
            tensors[name] = tensor.reshape(-1)
        case "stacked":
            tensors[name] = tensor[None]
        case "byte" if tensor.numel():
            raw = tensor.contiguous().reshape(-1).view(torch.uint8)
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
            tensors[name] = raw.view(tensor.dtype).reshape(tensor.shape)
        case "dtype":
            tensors[name] = tensor.to(getattr(torch, data.draw(st.sampled_from(DTYPES))))
        case "value" if tensor.dtype.is_floating_point:
            flat = tensor.float().reshape(-1)
            flat[data.draw(st.integers(0, len(flat) - 1)) :] = data.draw(VALUES)
            tensors[name] = flat.reshape(tensor.shape).to(tensor.dtype)


@pytest.mark.parametrize("save", [save_gptq, save_ordered_gptq, save_fp8, save_compressed_fp8, save_packed, save_awq])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_it_is_right_or_it_is_not_there(save: Any, data: st.DataObject) -> None:
    """No other exception, no number that is none, and no file of a conversion that was refused."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        source, out = save(Path(name) / "source"), Path(name) / "out"
        edit_tensors(source, lambda tensors: damage(tensors, data))
        try:
            convert(source, out, "float32", lambda *_: None)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert [path.name for path in Path(name).iterdir()] == ["source"]
            return
        checkpoint, after = inspect(source), load_all(out)
        assert sorted(after) == sorted(parameter_names(checkpoint))
        for tensor, value in after.items():
            assert bool(torch.isfinite(value).all())
            if value.dtype == torch.float32:
                assert (value.numpy() == read_published(checkpoint, tensor)).all()
