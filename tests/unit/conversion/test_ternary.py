"""Ternary: latents become what the forward pass of their training made of them, once."""

from typing import Any

import numpy as np
import pytest

from npu_conformance.conversion import ternary
from npu_conformance.errors import CheckpointError


def random_latents(rows: int = 6, columns: int = 64) -> Any:
    """Weights as training leaves them."""
    import torch

    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group_size", [16, 64, -1])
def test_latents_become_the_mean_magnitude_of_their_group(group_size: int) -> None:
    """With their sign, or zero where they are less than half of it."""
    latents = random_latents()

    fused = ternary.fuse(latents, group_size).numpy()

    size = 64 if group_size == -1 else group_size
    for row, before in zip(fused, latents.numpy(), strict=True):
        for at in range(0, 64, size):
            mean = np.abs(before[at : at + size]).mean(dtype=np.float64)
            expected = [0.0 if abs(value) < mean / 2 else np.sign(value) * mean for value in before[at : at + size]]
            np.testing.assert_allclose(row[at : at + size], expected, rtol=1e-6)
    assert (fused == 0).mean() == pytest.approx(0.3, abs=0.1)


def test_a_group_of_zeros_stays_one() -> None:
    """It has no mean to divide by."""
    import torch

    latents = random_latents()
    latents[2, 16:32] = 0

    fused = ternary.fuse(latents, 16)

    assert torch.isfinite(fused).all()
    assert (fused[2, 16:32] == 0).all()
    assert fused[2, :16].any()


def test_what_was_fused_is_ternary_and_latents_are_not() -> None:
    """In the dtype that is written as well."""
    import torch

    fused = ternary.fuse(random_latents(), 16)

    assert ternary.is_ternary(fused, 16)
    assert ternary.is_ternary(fused.to(torch.bfloat16), 16)
    assert not ternary.is_ternary(random_latents(), 16)
    assert not ternary.is_ternary(fused, -1), "groups of a row have magnitudes of their own"


def test_one_other_magnitude_is_not_ternary() -> None:
    """However many rows are."""
    fused = ternary.fuse(random_latents(600), 16)
    fused[599, 63] = fused[599, 48:].abs().max() / 2

    assert not ternary.is_ternary(fused, 16)


def test_ternary_weights_are_read_as_they_are() -> None:
    """Fusing them would shrink them, because the mean counts their zeros."""
    import torch

    fused = ternary.fuse(random_latents(), 16)

    weight = ternary.read(fused, 16)

    codes, scales = weight.rows(1, 5)
    assert torch.equal(codes * scales, fused[1:5])
    assert weight.about == {"group_size": 16, "fused": False}
    assert (ternary.fuse(fused, 16).abs().sum() < fused.abs().sum()).item()


def test_latents_are_read_as_fused() -> None:
    """By rows, as codes and magnitudes."""
    import torch

    latents = random_latents()

    weight = ternary.read(latents, 16)

    codes, scales = weight.rows(1, 5)
    assert torch.equal(codes * scales, ternary.fuse(latents, 16)[1:5])
    assert codes.unique().tolist() == [-1, 0, 1]
    assert weight.about == {"group_size": 16, "fused": True}


@pytest.mark.parametrize("group_size", [0, -2, 24, 128])
def test_groups_must_divide_the_inputs(group_size: int) -> None:
    """Or the last one would be something else."""
    with pytest.raises(CheckpointError, match=f"64 inputs cannot be divided into groups of {group_size}"):
        ternary.fuse(random_latents(), group_size)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_must_be_finite(value: float) -> None:
    """One of them would spoil its group."""
    latents = random_latents()
    latents[3, 3] = value

    for function in (ternary.fuse, ternary.is_ternary, ternary.read):
        with pytest.raises(CheckpointError, match="it holds NaN or Inf"):
            function(latents, 16)
