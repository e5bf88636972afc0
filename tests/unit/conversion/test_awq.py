"""AWQ: what was packed here code by code comes out of both readings and of vLLM's, and wrong input is refused."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.audit.audit import audit
from npu_conformance.audit.published import parameter_names, read_published, why_unreadable
from npu_conformance.audit.scan import scan
from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.inspect import examine, inspect
from npu_conformance.checkpoints.quantisation.schema import AwqOptions
from npu_conformance.conversion.convert import convert
from npu_conformance.conversion.formats import awq
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.awq_checkpoints import (
    INPUTS,
    MODULE,
    OUTPUTS,
    awq_options,
    random_parts,
    save_awq,
)
from tests.unit.helpers.quantised_checkpoints import (
    EMBEDDING,
    edit_config,
    edit_tensors,
    load_all,
    unwatched,
)

WEIGHT = f"{MODULE}.weight"


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([-1, 8, 16, 32]), start=st.integers(0, OUTPUTS - 1))
def test_codes_come_out_exactly(seed: int, size: int, start: int) -> None:
    """From any row on; a word's outputs are not in order."""
    parts, expected = random_parts(np.random.default_rng(seed), size)
    codes, scales = awq.read(*parts.values(), options=AwqOptions(**awq_options(size))).rows(start, OUTPUTS)

    np.testing.assert_array_equal((codes * scales).numpy(), expected[start:])


@pytest.mark.parametrize("size", [-1, 8, 16])
def test_both_readings_agree(tmp_path: Path, size: int) -> None:
    """With the plain formula and so with each other; the audit has nothing to say."""
    source = save_awq(tmp_path / "source", size)
    _, expected = random_parts(np.random.default_rng(0), size)

    convert(source, tmp_path / "out", "float32", unwatched)

    published = inspect(source)
    assert parameter_names(published) == [WEIGHT, EMBEDDING]
    assert why_unreadable(published) is None
    np.testing.assert_array_equal(read_published(published, WEIGHT), expected)
    np.testing.assert_array_equal(load_all(tmp_path / "out")[WEIGHT].numpy(), expected)
    assert audit(published, inspect(tmp_path / "out"), unwatched).exact == 2


def test_the_scan_reads_codes(tmp_path: Path) -> None:
    """Of four bits, as GPTQ's, and finds a scale that none can be."""
    source = save_awq(tmp_path / "source")
    edit_tensors(source, lambda tensors: tensors[f"{MODULE}.scales"].view(-1)[3:4].fill_(0))

    found = scan(examine(source), unwatched)

    codes = [one for one in found.tensors if one.of == "codes"]
    assert [(one.name, one.min, one.max) for one in codes] == [
        (f"{MODULE}.qweight", 0, 15),
        (f"{MODULE}.qzeros", 0, 15),
    ]
    assert [finding.about for finding in found.findings] == [f"{MODULE}.scales"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_vllm_reads_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It packs them again along the inputs, into a parameter that wants an engine around it."""
    import torch
    from vllm.model_executor.layers.quantization import auto_awq

    monkeypatch.setattr(
        auto_awq, "PackedvLLMParameter", lambda data, **_: torch.nn.Parameter(data, requires_grad=False)
    )
    layer, (parts, expected) = torch.nn.Module(), random_parts(np.random.default_rng(1), INPUTS)
    for part, tensor in parts.items():
        layer.register_parameter(part, torch.nn.Parameter(tensor, requires_grad=False))
    auto_awq._convert_awq_to_standard_format(layer, "qweight", "qzeros", 4)
    words, zeros = layer.qweight.data.numpy(), layer.qzeros.data.numpy()
    codes = np.stack([words >> 4 * place & 15 for place in range(8)], axis=1).reshape(INPUTS, OUTPUTS)
    zero = np.stack([zeros >> 4 * place & 15 for place in range(8)], axis=1).reshape(OUTPUTS, 1)

    np.testing.assert_array_equal((codes.T - zero) * parts["scales"].float().numpy().T, expected)


@pytest.mark.parametrize(
    ("shifted", "cause"),
    [
        (False, "as if the columns of a word had been taken in the order they are packed in"),
        (True, "as if no zero point had been subtracted"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, shifted: bool, cause: str) -> None:
    """Those of AWQ's own order, and those that it shares with GPTQ."""
    source = save_awq(tmp_path / "source")
    convert(source, tmp_path / "out", "float32", unwatched)
    parts, right = random_parts(np.random.default_rng(0), 16)

    def mistake(tensors: dict[str, Any]) -> None:
        import torch

        if shifted:
            options = AwqOptions(**awq_options())
            codes, scales = awq.read(
                parts["qweight"], torch.zeros_like(parts["qzeros"]), parts["scales"], options=options
            ).rows(0, OUTPUTS)
            tensors[WEIGHT] = (codes * scales).contiguous()
        else:
            order = np.arange(OUTPUTS).reshape(-1, 8)[:, [0, 2, 4, 6, 1, 3, 5, 7]].ravel()
            tensors[WEIGHT] = torch.from_numpy(right[order])

    edit_tensors(tmp_path / "out", mistake)

    assert audit(inspect(source), inspect(tmp_path / "out"), unwatched).problems[0].endswith(cause)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 8}, "bits is 8, but only weights of 4 bits can be converted"),
        ({"bits": 3}, "bits: expected 4 or 8, found 3"),
        ({"version": "gemv"}, "version is 'gemv', but only 'gemm' can be converted"),
        ({"zero_point": False}, "zero_point is false, but only weights with zero points can be converted"),
        ({"group_size": 0}, "group_size: expected -1 or a size above zero, found 0"),
    ],
)
def test_options_are_checked(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """By key; what cannot be read has no reference either."""
    with pytest.raises(CheckpointError, match=f"^config.json: {message}$"):
        awq.find(Checkpoint(Path(), {}, {}), awq_options() | changes, "config.json")

    source = save_awq(tmp_path / "source")
    edit_config(source, quantization_config=awq_options() | changes)
    with pytest.raises(CheckpointError):
        read_published(examine(source), WEIGHT)


def times(factor: float, tensor: Any) -> Any:
    """Every number times this."""
    return tensor * factor


def damage(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
    """A part of the weight is another one."""
    return lambda tensors: tensors.update({f"{MODULE}.{name}": change(tensors[f"{MODULE}.{name}"]).contiguous()})


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop(f"{MODULE}.qzeros"),
        lambda tensors: tensors.pop(f"{MODULE}.scales"),
        *(damage(part, lambda tensor: tensor[:1]) for part in ("qweight", "qzeros", "scales")),
        *(damage(part, lambda tensor: tensor[:, :-1]) for part in ("qweight", "qzeros", "scales")),
        *(damage(part, lambda tensor: tensor.double()) for part in ("qweight", "qzeros", "scales")),
        *(damage("scales", partial(times, factor)) for factor in (0.0, -1.0, float("nan"), 1e4)),
        lambda tensors: tensors.update({"model.act.scales": tensors[EMBEDDING].clone()}),
        lambda tensors: tensors.update({WEIGHT: tensors[EMBEDDING].clone()}),
    ],
)
def test_damage_is_refused_before_anything_is_written(tmp_path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """In one line."""
    source = save_awq(tmp_path / "source")
    edit_tensors(source, edit)

    with pytest.raises(CheckpointError, match=r"^[^\n]+$"):
        convert(source, tmp_path / "out", "float32", unwatched)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@settings(deadline=None, max_examples=15)
@given(key=st.sampled_from(sorted(awq_options())), value=st.sampled_from([None, 0, 4, 8, -1, "gemm", True, [], 1.5]))
def test_any_options_are_refused_or_read_alike(key: str, value: Any) -> None:
    """By both readings."""
    with tempfile.TemporaryDirectory() as name:
        source, out = save_awq(Path(name) / "source"), Path(name) / "out"
        edit_config(source, quantization_config=awq_options() | {key: value})
        try:
            convert(source, out, "float32", unwatched)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return
        np.testing.assert_array_equal(load_all(out)[WEIGHT].numpy(), read_published(inspect(source), WEIGHT))
