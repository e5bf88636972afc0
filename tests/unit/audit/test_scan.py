"""Scans of the weights themselves: damaged numbers are named, and codes that were read wrongly are recognised."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npu_conformance.audit.scan import Scan, run, scan
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.workers.job import ScanJob
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]


@pytest.fixture
def rng() -> "torch.Generator":
    """Random numbers that are the same in every run."""
    import torch

    return torch.Generator().manual_seed(3)


def written(folder: Path, state: "State", config: dict[str, Any] | None = None) -> Path:
    """A checkpoint folder with these tensors."""
    from safetensors.torch import save_file

    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], **(config or {})}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    save_file(state, folder / "model.safetensors")
    return folder


def scanned(folder: Path, state: "State", config: dict[str, Any] | None = None) -> Scan:
    """The scan of these tensors."""
    return scan(examine(written(folder, state, config)), lambda *_: None)


def told(found: Scan) -> list[str]:
    """Its findings."""
    return [f"{finding.level} {finding}" for finding in found.findings]


def bell(rng: "torch.Generator", rows: int = 128, columns: int = 512) -> "torch.Tensor":
    """Weights as training leaves them: bell-shaped, with columns of unlike size."""
    import torch

    return torch.randn(rows, columns, generator=rng) * (1 + torch.rand(columns, generator=rng)) * 0.02


def coded(weights: "torch.Tensor", bits: int, group: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Symmetric GPTQ: unsigned codes around 2 ** (bits - 1) and their scales, both [rows, columns / group, group]."""
    grouped = weights.reshape(len(weights), -1, group)
    scale = grouped.abs().amax(dim=2, keepdim=True) * 2 / (2**bits - 1)
    return ((grouped / scale).round() + 2 ** (bits - 1)).clamp(0, 2**bits - 1), scale


def dequantised(weights: "torch.Tensor", bits: int, group: int) -> "torch.Tensor":
    """Codes less their zero point, times their scale."""
    codes, scale = coded(weights, bits, group)
    return ((codes - 2 ** (bits - 1)) * scale).reshape(weights.shape)


def wrapped(weights: "torch.Tensor", bits: int, group: int) -> "torch.Tensor":
    """The fault: codes viewed as signed, without their zero point."""
    codes, scale = coded(weights, bits, group)
    return ((codes - 2**bits * (codes >= 2 ** (bits - 1))) * scale).reshape(weights.shape)


def unsubtracted(weights: "torch.Tensor", bits: int, group: int) -> "torch.Tensor":
    """The same fault in a wider type: all weights of one sign."""
    codes, scale = coded(weights, bits, group)
    return (codes * scale).reshape(weights.shape)


@pytest.mark.parametrize("fault", [wrapped, unsubtracted])
@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("group", [512, 128, 32])
def test_codes_read_without_their_zero_point_are_recognised(
    tmp_path: Path, rng: "torch.Generator", fault: Callable[..., "torch.Tensor"], bits: int, group: int
) -> None:
    """Dequantised rightly the same weights are clean."""
    weights = [bell(rng) for _ in range(3)]
    right = {f"layers.{index}.up_proj.weight": dequantised(weight, bits, group) for index, weight in enumerate(weights)}
    wrong = {f"layers.{index}.up_proj.weight": fault(weight, bits, group) for index, weight in enumerate(weights)}

    assert told(scanned(tmp_path, right)) == []
    (finding,) = told(scanned(tmp_path, wrong))
    assert finding.startswith("suspicion layers.0.up_proj.weight: only ")
    assert "so in 3 of 3 linear layers: most likely unsigned codes read as signed without their zero point" in finding


def test_one_odd_layer_is_a_warning(tmp_path: Path, rng: "torch.Generator") -> None:
    """Half or fewer of the linear layers may be odd by design."""
    state = {"layers.0.up_proj.weight": bell(rng), "layers.1.up_proj.weight": wrapped(bell(rng), 8, 128)}

    (finding,) = told(scanned(tmp_path, state))

    assert finding.startswith("warning layers.1.up_proj.weight: only ")


def test_wrapped_int8_codes_are_recognised_as_they_are_stored(tmp_path: Path, rng: "torch.Generator") -> None:
    """A checkpoint that keeps int8 codes, with its zero point lost on the way."""
    import torch

    codes, _ = coded(bell(rng), 8, 512)
    signed = (codes - 128).to(torch.int8).reshape(128, 512)
    config = {"quantization_config": {"quant_method": "compressed-tensors"}}

    assert told(scanned(tmp_path, {"up_proj.weight": signed}, config)) == []
    (finding,) = told(scanned(tmp_path, {"up_proj.weight": (signed.int() ^ -128).to(torch.int8)}, config))
    assert "unsigned codes read as signed" in finding


def innocent(rng: "torch.Generator") -> "State":
    """Weights that are not bell-shaped, and tensors that are not linear layers."""
    import torch

    binary = torch.randint(0, 2, (128, 512), generator=rng) * 2.0 - 1
    uniform = torch.nn.Linear(512, 128).weight.detach()
    torch.nn.init.kaiming_uniform_(uniform, a=5**0.5, generator=rng)
    return {
        "uniform.weight": uniform,
        "uniform_int4.weight": dequantised(uniform, 4, 128),
        "ternary.weight": torch.randint(-1, 2, (128, 512), generator=rng) * 0.02,
        "binary.weight": binary * torch.rand(128, 1, generator=rng),
        "two_bits.weight": (torch.randint(0, 4, (128, 512), generator=rng) - 1.5) * 0.1,
        "embed_positions.weight": torch.sin(torch.arange(128)[:, None] * torch.arange(1, 513)) + 2,
        "norm.weight": torch.ones(512),
        "conv1d.weight": torch.ones(512, 1, 4),
        "router.bias": torch.zeros(512),
    }


def test_other_weights_are_left_alone(tmp_path: Path, rng: "torch.Generator") -> None:
    """Untrained, ternary, binary and 2-bit weights, embeddings, norms and small kernels."""
    assert told(scanned(tmp_path, innocent(rng))) == []


def spoil(value: float, *index: int) -> Callable[["State"], None]:
    """One element of the layer's weight."""

    def change(state: "State") -> None:
        state["up_proj.weight"][index] = value

    return change


def scales(value: float) -> Callable[["State"], None]:
    """Scales beside it, one of which is wrong."""

    def change(state: "State") -> None:
        import torch

        state["up_proj.scales"] = torch.ones(4, 128)
        state["up_proj.scales"][2, 5] = value

    return change


def empty(state: "State") -> None:
    """Allocated and never filled."""
    state["up_proj.weight"].zero_()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (spoil(float("nan"), 7, 11), "error up_proj.weight: NaN or infinity, first at [7, 11]"),
        (spoil(float("-inf"), 0, 511), "error up_proj.weight: NaN or infinity, first at [0, 511]"),
        (scales(0.0), "error up_proj.scales: a scale is zero or negative, first at [2, 5]"),
        (scales(-1.0), "error up_proj.scales: a scale is zero or negative, first at [2, 5]"),
        (scales(float("nan")), "error up_proj.scales: NaN or infinity, first at [2, 5]"),
        (empty, "warning up_proj.weight: all zero"),
    ],
)
def test_damaged_numbers_are_named_with_their_place(
    tmp_path: Path, rng: "torch.Generator", damage: Callable[["State"], None], expected: str
) -> None:
    """The tensor and the first index."""
    state = {"up_proj.weight": bell(rng)}
    assert told(scanned(tmp_path, state)) == []

    damage(state)
    (finding,) = told(scanned(tmp_path, state))

    assert finding.startswith(expected)


def test_places_are_right_beyond_the_first_chunk(
    tmp_path: Path, rng: "torch.Generator", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics too are of the whole tensor, however it is cut."""
    monkeypatch.setattr("npu_conformance.audit.statistics._CHUNK", 1000)
    weight = bell(rng)
    (found,) = scanned(tmp_path, {"up_proj.weight": weight}).tensors
    assert found.mean == pytest.approx(float(weight.mean()), abs=1e-7)
    assert found.std == pytest.approx(float(weight.std(correction=0)))
    assert (found.min, found.max) == (float(weight.min()), float(weight.max()))

    weight.reshape(4, 32, 512)[3, 30, 100] = float("inf")
    (finding,) = told(scanned(tmp_path, {"experts.up_proj": weight.reshape(4, 32, 512)}))

    assert "first at [3, 30, 100]" in finding


def test_packed_codes_are_unpacked(tmp_path: Path) -> None:
    """The range of GPTQ's codes, not of the words they are packed in; the scales have a row of their own."""
    import torch

    words = torch.tensor([[0x7F000201, 0x10], [0x40, 0x7]], dtype=torch.int32)
    state = {
        "l.qweight": words,
        "l.qzeros": words[:1].clone(),
        "l.scales": torch.tensor([[0.5, 0.25]]),
        "l.g_idx": words[0].clone(),
    }
    config = {"quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": -1, "sym": True}}

    found = {tensor.name: tensor for tensor in scanned(tmp_path, state, config).tensors}

    assert set(found) == {"l.qweight", "l.qzeros", "l.scales"}
    assert (found["l.qweight"].of, found["l.qweight"].min, found["l.qweight"].max) == ("codes", 0, 127)
    assert found["l.qweight"].mean == pytest.approx((1 + 2 + 127 + 16 + 64 + 7) / 16)
    assert (found["l.scales"].of, found["l.scales"].mean) == ("values", 0.375)


def test_the_greatest_singular_value_of_one_layer(tmp_path: Path, rng: "torch.Generator") -> None:
    """Of the middle layer's matrices, in any float dtype."""
    import torch

    state = {name: (torch.randn(shape, generator=rng) * 0.02).bfloat16() for name, (_, shape) in llama().items()}
    found = {tensor.name: tensor.operator_norm for tensor in scanned(tmp_path, state, LLAMA).tensors}

    assert {name for name, norm in found.items() if norm is not None} == {
        name for name, tensor in state.items() if ".layers.2." in name and tensor.ndim == 2
    }
    name = "model.layers.2.mlp.up_proj.weight"
    assert found[name] == pytest.approx(float(torch.linalg.matrix_norm(state[name].float(), 2)), rel=0.01)


def test_the_job_leaves_a_file_with_all_findings(tmp_path: Path, rng: "torch.Generator") -> None:
    """Those of the headers first; what is not finite survives JSON."""
    import torch

    folder = tmp_path / "model"
    folder.mkdir()
    written(folder, {"wte.weight": torch.full((2, 2), float("nan")), "l.weight": bell(rng)}, {"vocab_size": 3})
    calls: list[tuple[str, int, int]] = []

    run(ScanJob(output=tmp_path / "scan.json", checkpoint=folder), lambda *call: calls.append(call))

    found = Scan.model_validate_json((tmp_path / "scan.json").read_bytes())
    assert [finding.about for finding in found.findings] == ["config.json", "wte.weight"]
    assert calls == [("scanning", 0, 2), ("scanning", 1, 2)]
    assert {tensor.name for tensor in found.tensors} == {"wte.weight", "l.weight"}


def test_the_spread_of_a_published_conversion_is_that_of_wrapped_codes() -> None:
    """Its report prints a standard deviation of 0.0856 at a mean scale of 0.00081: 105.7 codes of int8's 128.

    Weights with tails as trained ones have, in groups of 128, have a spread of a third of that; it is what becomes of
    them when their codes are read as signed bytes without the zero point.
    """
    weights = np.random.default_rng(3).laplace(size=(4096, 128))
    codes = np.rint(weights / np.abs(weights).max(axis=1, keepdims=True) * 127) + 128
    wrapped = codes.astype(np.uint8).view(np.int8)

    assert 100 < 0.0856 / 0.00081 < 110
    assert 100 < wrapped.std() < 110
    assert (codes - 128).std() < 40
