"""FP8 checkpoints as they are published: a scale a block, a row or a tensor, and scales of a KV cache beside."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.audit.published import parameter_names, read_published
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.quantisation.scales import is_kv_scale
from npu_conformance.conversion.convert import convert
from npu_conformance.conversion.formats import fp8
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.quantised_checkpoints import (
    DOWN,
    EMBEDDING,
    NORM,
    UP,
    edit_config,
    edit_tensors,
    load_all,
    record_of,
    save_fp8,
    unwatched,
)

CACHE = [f"model.layers.0.self_attn.{name}" for name in ("k_scale", "v_scale", "k_proj.output_scale")]


def save(folder: Path, form: str) -> Path:
    """Weights with a scale for each row, or one for all, as `fp8` without blocks has them."""
    import torch

    def rescale(tensors: dict[str, Any]) -> None:
        for name in (UP, DOWN):
            scale = tensors.pop(f"{name}_scale_inv")
            rows = torch.arange(1, tensors[name].shape[0] + 1) / 1000
            tensors[f"{name}_scale"] = {
                "block": scale,
                "row": rows,
                "column": rows[:, None],
                "number": scale[0, 0],
                "one": scale[0, :1],
                "matrix": scale[:1, :1],
            }[form].contiguous()

    save_fp8(folder)
    edit_tensors(folder, rescale)
    if form != "block":
        edit_config(folder, quantization_config={"quant_method": "fp8", "activation_scheme": "dynamic"})
    return folder


@pytest.mark.parametrize("form", ["block", "row", "column", "number", "one", "matrix"])
def test_each_form_is_what_the_second_reading_has(tmp_path: Path, form: str) -> None:
    """Element by element, though they share no code."""
    source = inspect(save(tmp_path / "source", form))

    convert(source.folder, tmp_path / "out", "float32", unwatched)

    after = load_all(tmp_path / "out")
    assert sorted(after) == sorted(parameter_names(source))
    for name in (UP, DOWN):
        assert (after[name].numpy() == read_published(source, name)).all()


@pytest.mark.parametrize("form", ["block", "row", "column"])
def test_experts_in_one_tensor(tmp_path: Path, form: str) -> None:
    """Rows of one expert never take the scales of the next, though blocks do not divide them."""
    import torch

    name, random = "model.layers.0.mlp.experts.up_proj", torch.Generator().manual_seed(0)
    codes = torch.randn(3, 40, 70, generator=random).to(torch.float8_e4m3fn)
    scale = torch.rand({"block": (3, 2, 3), "row": (3, 40), "column": (3, 40, 1)}[form], generator=random) / 10 + 1e-3
    folder = save(tmp_path / "source", form)
    edit_tensors(folder, lambda tensors: tensors.update({name: codes, f"{name}_scale_inv": scale}))

    convert(folder, tmp_path / "out", "float32", unwatched)

    after = load_all(tmp_path / "out")[name]
    assert after.shape == codes.shape
    assert (after.numpy() == read_published(inspect(folder), name)).all()


def test_scales_of_a_cache_are_left_out(tmp_path: Path) -> None:
    """They are no parameters, and plain weights have no use for them."""
    import torch

    folder = save_fp8(tmp_path / "source")
    edit_tensors(folder, lambda tensors: tensors.update({name: torch.tensor(0.5) for name in CACHE}))

    convert(folder, tmp_path / "out", None, unwatched)

    assert set(CACHE) <= set(record_of(tmp_path / "out")["left_out"])
    assert not set(CACHE) & set(load_all(tmp_path / "out"))
    assert not set(CACHE) & set(parameter_names(inspect(folder)))
    assert not any(map(is_kv_scale, (UP, NORM, EMBEDDING, f"{UP}_scale_inv", "a.weight_scale", "a.input_scale")))


def test_two_scales_of_one_weight_are_refused(tmp_path: Path) -> None:
    """One of them would be taken without a word."""
    folder = save_fp8(tmp_path / "source")
    edit_tensors(folder, lambda tensors: tensors.update({f"{UP}_scale": tensors[f"{UP}_scale_inv"].clone()}))

    with pytest.raises(CheckpointError, match=f"{UP}:? has {UP}_scale_inv and {UP}_scale, expected one scale"):
        convert(folder, tmp_path / "out", None, unwatched)


def test_the_other_fp8_is_refused_by_its_name(tmp_path: Path) -> None:
    """Its scale is no scale without a weight."""
    import torch

    folder = save_fp8(tmp_path / "source")
    edit_tensors(folder, lambda tensors: tensors.update({UP: tensors[UP].float().to(torch.float8_e5m2)}))

    with pytest.raises(CheckpointError, match=f"{UP}.* F8_E5M2.*E4M3"):
        convert(folder, tmp_path / "out", None, unwatched)


FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(deadline=None, max_examples=100)
@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    block=st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4)),
    data=st.data(),
)
def test_any_scales_are_applied_or_refused(
    shape: tuple[int, ...], block: tuple[int, int] | None, data: st.DataObject
) -> None:
    """What comes out is finite and of the signs of the codes, or one line says why nothing does."""
    import torch

    size = torch.Size(shape).numel()
    values = data.draw(st.lists(FLOATS, min_size=size, max_size=size))
    codes = torch.tensor([[1.0, -2.0, 0.5], [4.0, -0.25, 3.0]]).to(torch.float8_e4m3fn)
    try:
        result = fp8.dequantise(codes, torch.tensor(values).reshape(shape), block)
    except CheckpointError:
        pass
    else:
        assert all(0 < value < float("inf") for value in values)
        assert bool((result.sign() * codes.float().sign() >= 0).all())
        assert bool(result.isfinite().all()) or max(values) > 1e37
