"""compressed-tensors: what was encoded here code by code comes out of both readings, and of its own library."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.audit.audit import audit
from npu_conformance.audit.published import read_published, why_unreadable
from npu_conformance.checkpoints.inspect import examine, inspect
from npu_conformance.checkpoints.quantisation.schema import ArgumentsOfTensors
from npu_conformance.conversion.compressed import read
from npu_conformance.conversion.convert import convert
from npu_conformance.conversion.plan import plan
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.compressed_checkpoints import GROUP, KINDS, MODULE, Kind, encode, save_kind
from tests.unit.helpers.quantised_checkpoints import edit_config, edit_tensors, load_all, unwatched

WEIGHT = f"{MODULE}.weight"


def dequantised(tensors: dict[str, Any], kind: Kind, step: int = 1000) -> Any:
    """By the converter, some rows at a time."""
    names = sorted(tensors, key=lambda name: name not in ("weight", "weight_packed"))
    scheme = ArgumentsOfTensors.model_validate(kind.config["config_groups"]["group_0"]["weights"])
    weight = read(*(tensors[name] for name in names), scheme=scheme, parts=tuple(names))
    portions = [weight.rows(start, min(start + step, 44)) for start in range(0, 44, step)]
    return np.concatenate([(codes * scales).numpy() for codes, scales in portions])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_checkpoint_is_converted_and_audited_exactly(tmp_path: Path, kind: Kind) -> None:
    """Nothing is found wrong with it, both readings have the encoded values, and nothing of the format is left."""
    import torch

    source, values = save_kind(tmp_path / "source", kind)
    checkpoint = inspect(source)
    convert(source, tmp_path / "out", "float32", unwatched)
    result = audit(checkpoint, inspect(tmp_path / "out"), lambda *_: None)

    assert [str(finding) for finding in checkpoint.findings] == []
    assert why_unreadable(checkpoint) is None
    np.testing.assert_array_equal(read_published(checkpoint, WEIGHT), values)
    after = load_all(tmp_path / "out")
    assert sorted(after) == sorted(["model.embed_tokens.weight", WEIGHT])
    assert torch.equal(after[WEIGHT], torch.from_numpy(values))
    assert result.passed
    assert result.exact == 2


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_its_own_library_reads_the_same(kind: Kind) -> None:
    """What compressed-tensors decompresses, in the precision of the scales, and portions of rows that are odd."""
    import torch

    library = pytest.importorskip("compressed_tensors.quantization")
    compressors = pytest.importorskip("compressed_tensors.compressors")
    kind = replace(kind, scales="float32")
    tensors, values = encode(kind)
    arguments = kind.config["config_groups"]["group_0"]["weights"]
    scheme = library.QuantizationScheme(targets=["Linear"], weights=library.QuantizationArgs(**arguments))
    if kind.strategy != "block":  # it infers blocks from the number of scales, right only where they divide the weight
        compressor = compressors.BaseCompressor.get_value_from_registry(kind.format)
        theirs = compressor.decompress(dict(tensors), scheme)["weight"]
        assert torch.allclose(theirs, torch.from_numpy(values), rtol=1e-6, atol=0)

    np.testing.assert_array_equal(dequantised(tensors, kind, 7), values)


def set_to(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    """One value of a part is another."""

    def change(tensors: dict[str, Any]) -> None:
        tensors[f"{MODULE}.{name}"].view(-1)[0] = value

    return change


def cut(name: str) -> Callable[[dict[str, Any]], None]:
    """A part loses its last row."""
    return lambda tensors: tensors.update({f"{MODULE}.{name}": tensors[f"{MODULE}.{name}"][:-1].clone()})


def lose(name: str) -> Callable[[dict[str, Any]], None]:
    """A part is missing."""
    return lambda tensors: tensors.pop(f"{MODULE}.{name}")


def add(name: str, value: Callable[[], Any]) -> Callable[[dict[str, Any]], None]:
    """A part that should not be there."""
    return lambda tensors: tensors.update({name: value()})


def _zeros(*shape: int) -> Any:
    import torch

    return torch.zeros(shape, dtype=torch.int32)


ASYMMETRIC, ORDERED = KINDS["W4A16 with zero points"], KINDS["W4A16 in order of activations"]
INT8, FP8 = KINDS["int8, a scale a channel"], KINDS["FP8 in blocks"]


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [
        (GROUP, lose("weight_scale"), "no weight_scale"),
        (GROUP, lose("weight_shape"), "no weight_shape"),
        (ASYMMETRIC, lose("weight_zero_point"), "no weight_zero_point"),
        (ORDERED, lose("weight_g_idx"), "no weight_g_idx"),
        (GROUP, lose("weight_packed"), "belongs to no quantised weight|nothing to convert"),
        (GROUP, cut("weight_scale"), "weight_scale is "),
        (GROUP, set_to("weight_shape", 45), r"weight_shape is \[45, 64\], but weight_packed with 4 bits is for"),
        (ASYMMETRIC, cut("weight_zero_point"), r"weight_zero_point is int32 \[5, 2\], expected int32 \[6, 2\]"),
        (ORDERED, set_to("weight_g_idx", 9), "weight_g_idx does not put 16 inputs into each of 4 groups"),
        (ORDERED, cut("weight_g_idx"), r"weight_g_idx is int32 \[63\], expected int32 \[64\]"),
        (GROUP, set_to("weight_scale", 0.0), "its scales are 0 to"),
        (INT8, set_to("weight_scale", float("inf")), "to inf, expected finite"),
        (FP8, set_to("weight", float("nan")), "a code is NaN"),
        (
            GROUP,
            add(f"{MODULE}.weight_zero_point", lambda: _zeros(6, 4)),
            "symmetric is true, so that zero points must be 0, found -8 to -8",
        ),
        (GROUP, add(f"{MODULE}.weight_global_scale", lambda: _zeros(1)), "weight_global_scale belongs to no"),
        (INT8, add(f"{MODULE}.weight_packed", lambda: _zeros(44, 16)), "has a matrix weight of I8"),
    ],
)
def test_damage_is_refused(tmp_path: Path, kind: Kind, damage: Callable[[dict[str, Any]], None], message: str) -> None:
    """In one line, and nothing is left behind."""
    source, _ = save_kind(tmp_path / "source", kind)
    edit_tensors(source, damage)

    with pytest.raises(CheckpointError, match=message) as caught:
        convert(source, tmp_path / "out", None, unwatched)

    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def group(**changes: Any) -> dict[str, Any]:
    """`config_groups` of a group with these arguments."""
    weights = GROUP.config["config_groups"]["group_0"]["weights"] | changes
    return {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}


OTHER = group(group_size=32)["config_groups"]["group_0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "marlin-24"}, "format is 'marlin-24', but only pack-quantized, .* can be converted"),
        ({"format": None}, "format is None"),
        ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config.format is 'sparse-24-bitmask'"),
        ({"transform_config": {"config_groups": {"R1": {}}}}, "transform_config: weights that were rotated"),
        (group(num_bits=3), "weights of pack-quantized are int of 3 bits"),
        (group(type="float"), "weights of pack-quantized are float of 4 bits"),
        (group(strategy="tensor"), "strategy of pack-quantized is 'tensor'"),
        (group(strategy="tensor_group"), "strategy of pack-quantized is 'tensor_group'"),
        (group(strategy="rows"), "strategy: expected"),
        (group(group_size=None), "group_size must be above zero, found None"),
        (group(group_size=24), "it has 64 inputs, expected a multiple of group_size 24|weight_scale is"),
        (group(actorder="best"), "actorder: expected 'group', 'weight', 'dynamic' or 'static', found 'best'"),
        ({"ignore": [MODULE]}, f"ignore lists {MODULE}, which is stored quantised"),
        ({"ignore": [r"re:.*up_proj$"]}, f"ignore lists {MODULE}"),
        ({"config_groups": {}}, f"{MODULE} is stored quantised and is in 0 kinds of config_groups"),
        ({"config_groups": group()["config_groups"] | {"group_1": OTHER}}, "is in 2 kinds of config_groups"),
        (
            {"config_groups": {"group_0": OTHER | {"targets": ["re:("]}}},
            "a (name of modules|target of config_groups) is wrong",
        ),
    ],
)
def test_options_that_are_not_converted_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """By their key, and also where inspection does not mind them."""
    source, _ = save_kind(tmp_path / "source")
    edit_config(source, quantization_config=GROUP.config | changes)

    with pytest.raises(CheckpointError, match=message):
        plan(examine(source), None, None).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "marlin-24"}, "with format marlin-24 of int in 4 bits by group are not read here"),
        ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "with sparsity_config.format sparse-24-bitmask"),
        ({"transform_config": {"config_groups": {"R1": {}}}}, "with transform_config"),
        (group(num_bits=2), "with format pack-quantized of int in 2 bits by group"),
        (group(strategy="tensor_group"), "by tensor_group"),
        (group(actorder="best"), "with options that are wrong"),
    ],
)
def test_what_is_not_read_a_second_time_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """So that it is no reference, and no number is read in another way than it is meant."""
    source, _ = save_kind(tmp_path / "source")
    edit_config(source, quantization_config=GROUP.config | changes)

    assert message in str(why_unreadable(examine(source)))
    with pytest.raises(CheckpointError, match="is not read"):
        read_published(examine(source), WEIGHT)


def test_groups_may_differ_by_module(tmp_path: Path) -> None:
    """One that names a module goes before one of all linear layers, as in vLLM."""
    source, _ = save_kind(tmp_path / "source")
    tensors, values = encode(INT8)
    down = MODULE.replace("up", "down")
    edit_tensors(source, lambda stored: stored.update({f"{down}.{end}": part for end, part in tensors.items()}))
    int8 = INT8.config["config_groups"]["group_0"] | {"targets": [r"re:.*down_proj$"], "format": "int-quantized"}
    groups = GROUP.config["config_groups"] | {"group_1": int8}
    edit_config(source, quantization_config=GROUP.config | {"config_groups": groups})

    convert(source, tmp_path / "out", "float32", unwatched)

    after = load_all(tmp_path / "out")
    np.testing.assert_array_equal(after[f"{down}.weight"].numpy(), values)
    np.testing.assert_array_equal(after[WEIGHT].numpy(), encode(GROUP)[1])
    np.testing.assert_array_equal(read_published(examine(source), f"{down}.weight"), values)
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
