"""One weight of compressed-tensors, from its parts: (code - zero point) and scale, both of the cell of a grid."""

from typing import TYPE_CHECKING

from npu_conformance.checkpoints.quantisation.schema import ArgumentsOfTensors, Block
from npu_conformance.conversion.packing import unpack
from npu_conformance.conversion.scheme import Quantised, check_scales, describe
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

PACKED = "weight_packed"
"""In place of `weight`, where codes are packed."""

_FLOATS = ("float32", "float16", "bfloat16")


def read(*tensors: "torch.Tensor", scheme: ArgumentsOfTensors, parts: tuple[str, ...]) -> Quantised:
    """A weight by rows, its values (code - zero point) * scale rounded once to float32.

    Args:
        tensors: its parts. Codes are int8 or float8_e4m3fn [out, in], or int32 [out, in * bits / 32] as
            `weight_packed`; `weight_scale` is of any float dtype and on the grid of the scheme's strategy;
            `weight_zero_point` is int8 of the same shape, or int32 [ceil(out * bits / 32), groups] of packed codes.
        scheme: how its group is quantised.
        parts: their names, codes first.

    Raises:
        CheckpointError: shapes, dtypes or values do not fit each other or the scheme.
    """
    import torch

    given = dict(zip(parts, tensors, strict=True))
    codes, bits = tensors[0], scheme.num_bits if PACKED in given else None
    outputs, inputs = codes.shape[0], codes.shape[1] * (32 // bits if bits else 1)
    height, width = _cell(scheme, outputs, inputs)
    grid = -(-outputs // height), -(-inputs // width)
    if PACKED in given and given["weight_shape"].tolist() != [outputs, inputs]:
        raise CheckpointError(
            f"weight_shape is {given['weight_shape'].tolist()}, but weight_packed with {bits} bits is for "
            f"{[outputs, inputs]}: inputs must fill whole words; is num_bits right?"
        )
    steps = _steps(given["weight_scale"], scheme, grid)
    zeros = _zero_points(given.get("weight_zero_point"), grid, scheme, bits)
    columns = _columns(given.get("weight_g_idx"), inputs, width, scheme)

    def rows(start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor]":
        part = codes[start:stop]
        values = part.to(torch.float32) if bits is None else _signed(part, bits)
        if bool(values.isnan().any()):
            raise CheckpointError("a code is NaN: download the model again")
        cells = torch.arange(start, stop) // height
        if zeros is not None:
            values -= zeros[cells][:, columns]
        return values, steps[cells][:, columns]

    return Quantised(rows, {"strategy": scheme.inferred_strategy, "bits": scheme.num_bits})


def _signed(words: "torch.Tensor", bits: int) -> "torch.Tensor":
    """[rows, words] int32 to [rows, words * 32 / bits] float32."""
    import torch

    return (unpack(words, bits) - (1 << (bits - 1))).to(torch.float32)


def _cell(scheme: ArgumentsOfTensors, outputs: int, inputs: int) -> Block:
    """Rows and columns that share a scale."""
    match scheme.inferred_strategy:
        case "tensor":
            return outputs, inputs
        case "channel":
            return 1, inputs
        case "block" if scheme.block_structure is not None:
            return scheme.block_structure
    size = scheme.group_size or inputs
    if inputs % size:
        raise CheckpointError(f"it has {inputs} inputs, expected a multiple of group_size {size}: is it right?")
    return 1, size


def _steps(scale: "torch.Tensor", scheme: ArgumentsOfTensors, grid: Block) -> "torch.Tensor":
    """Scales on their grid, float32."""
    import torch

    by_row = scheme.inferred_strategy == "channel" and list(scale.shape) == [grid[0]]
    single = scheme.inferred_strategy == "tensor" and scale.numel() == 1
    if str(scale.dtype).removeprefix("torch.") not in _FLOATS or not (tuple(scale.shape) == grid or by_row or single):
        raise CheckpointError(
            f"weight_scale is {describe(scale)}, but strategy {scheme.inferred_strategy} needs floats {list(grid)}"
        )
    steps = scale.to(torch.float32).reshape(grid)
    check_scales(steps)
    return steps


def _zero_points(
    stored: "torch.Tensor | None", grid: Block, scheme: ArgumentsOfTensors, bits: int | None
) -> "torch.Tensor | None":
    """Zero points on the grid of the scales, float32; None where they are 0."""
    import torch

    if stored is None:
        return None
    if bits is not None:
        pack = 32 // bits
        _expect("weight_zero_point", stored, f"int32 {[-(-grid[0] // pack), grid[1]]}")
        zeros = _signed(stored.T, bits)[:, : grid[0]].T
    else:
        # Of FP8 weights some versions stored zeros in FP8.
        if stored.numel() != grid[0] * grid[1] or stored.dtype not in (torch.int8, torch.float8_e4m3fn):
            raise CheckpointError(f"weight_zero_point is {describe(stored)}, expected int8 {list(grid)}")
        zeros = stored.to(torch.float32).reshape(grid)
    if scheme.symmetric and not bool((zeros == 0).all()):
        raise CheckpointError(
            f"symmetric is true, so that zero points must be 0, found {zeros.min():g} to {zeros.max():g}: is it right?"
        )
    return zeros


def _columns(g_idx: "torch.Tensor | None", inputs: int, width: int, scheme: ArgumentsOfTensors) -> "torch.Tensor":
    """Column of the grid by input, int64."""
    import torch

    in_order = torch.arange(inputs) // width
    if g_idx is None:
        return in_order
    _expect("weight_g_idx", g_idx, f"int32 {[inputs]}")
    columns = g_idx.to(torch.long)
    if not torch.equal(columns.sort().values, in_order):
        raise CheckpointError(
            f"weight_g_idx does not put {width} inputs into each of {inputs // width} groups: download the model again"
        )
    if scheme.actorder != "group" and not torch.equal(columns, in_order):
        raise CheckpointError(
            "weight_g_idx does not number the groups in order, but actorder is not 'group': engines that go by the "
            "config would compute another model; correct actorder"
        )
    return columns


def _expect(name: str, tensor: "torch.Tensor", expected: str) -> None:
    if describe(tensor) != expected:
        raise CheckpointError(f"{name} is {describe(tensor)}, expected {expected}: download the model again")
