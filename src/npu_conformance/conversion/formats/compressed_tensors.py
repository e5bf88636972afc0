"""Weights of compressed-tensors: int8 and FP8 codes, and integers packed into int32 words, with scales on a grid.

The layouts are those of its `naive_quantized` and `pack_quantized`: words hold the codes of neighbouring inputs, the
lowest bits first, and packed zero points those of neighbouring outputs; both are stored with their sign bit flipped.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, some
from npu_conformance.checkpoints.quantisation.schema import (
    ArgumentsOfTensors,
    CompressedGroup,
    CompressedOptions,
    require,
)
from npu_conformance.checkpoints.quantised.compressed import groups_of
from npu_conformance.checkpoints.quantised.naming import UnreadablePatternError, matches
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.conversion.compressed import PACKED, read
from npu_conformance.conversion.scheme import Scheme, Stored
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODES = {"int": "I8", "float": "F8_E4M3"}
# By format: types and bits that are converted.
_FORMATS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "pack-quantized": (("int",), (2, 4, 8)),
    "int-quantized": (("int",), (8,)),
    "float-quantized": (("float",), (8,)),
    "naive-quantized": (("int", "float"), (8,)),
}
_STRATEGIES = {True: ("channel", "group"), False: ("tensor", "channel", "group", "block")}
# For arithmetic in integers and FP8, and of a quantised KV cache.
_ACTIVATIONS = ("input_scale", "input_zero_point", "output_scale", "output_zero_point")
_ENDS = (PACKED, "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx", "weight_global_scale")


def find(checkpoint: Checkpoint, quantisation: dict[str, Any], where: str) -> Scheme:
    """The weights of a checkpoint that compressed-tensors quantised.

    Args:
        checkpoint: an inspected folder.
        quantisation: its `quantization_config`.
        where: the file and key that is, for messages.

    Raises:
        CheckpointError: an option is missing or not converted, or a weight is not stored as its group says.
    """
    options = require(CompressedOptions, quantisation, where)
    _check(options, where)
    weights: dict[str, Stored] = {}
    for name, tensor in checkpoint.tensors.items():
        module, _, part = name.rpartition(".")
        if part == PACKED or (part == "weight" and tensor.dtype in _CODES.values()):
            weights[f"{module}.weight"] = _stored(checkpoint, _group(options, module, where), module, name)
    if not weights:
        raise CheckpointError(f"{where}: no weight is stored quantised, so there is nothing to convert")
    parts = {part for stored in weights.values() for part in stored.parts}
    ends = tuple(f".{end}" for end in _ENDS)
    if alone := [name for name in checkpoint.tensors if name.endswith(ends) and name not in parts]:
        raise CheckpointError(
            f"{checkpoint.tensors[alone[0]].file}: {some(alone)} belongs to no quantised weight of this layout: "
            "download the model again"
        )
    modules = {name.removesuffix("weight") for name in weights}
    unused = {module + end for module in modules for end in _ACTIVATIONS} & set(checkpoint.tensors)
    return Scheme("compressed-tensors", options.model_dump(), weights, frozenset(unused))


def _check(options: CompressedOptions, where: str) -> None:
    """What holds for all weights."""
    sparsity = (options.sparsity_config or {}).get("format", "dense")
    if sparsity != "dense":
        raise CheckpointError(f"{where}: sparsity_config.format is {sparsity!r}, but only 'dense' can be converted")
    if any((options.transform_config or {}).values()):
        raise CheckpointError(f"{where}: transform_config: weights that were rotated cannot be converted")
    for key, group in options.config_groups.items():
        if group.weights is not None and (problem := _problem(options, group, group.weights)):
            raise CheckpointError(f"{where}: config_groups.{key}: {problem}")


def _problem(options: CompressedOptions, group: CompressedGroup, scheme: ArgumentsOfTensors) -> str | None:
    stored = group.format or options.format
    types, bits = _FORMATS.get(str(stored), ((), ()))
    strategies = _STRATEGIES[stored == "pack-quantized"]
    if not types:
        return f"format is {stored!r}, but only {', '.join(_FORMATS)} can be converted"
    if scheme.type not in types or scheme.num_bits not in bits:
        return f"weights of {stored} are {scheme.type} of {scheme.num_bits} bits, expected {types} of {bits}"
    if scheme.inferred_strategy not in strategies:
        return f"strategy of {stored} is {scheme.inferred_strategy!r}, expected one of {', '.join(strategies)}"
    if scheme.type == "float" and not scheme.symmetric:
        return "symmetric is false, but FP8 weights have no zero point"
    if scheme.inferred_strategy == "group" and (scheme.group_size or 0) < 1:
        return f"strategy is 'group', so group_size must be above zero, found {scheme.group_size}"
    if scheme.inferred_strategy == "block" and scheme.block_structure is None:
        return "strategy is 'block', but there is no block_structure"
    if scheme.actorder == "group" and scheme.inferred_strategy != "group":
        return f"actorder is 'group', but strategy is {scheme.inferred_strategy!r}"
    return None


def _group(options: CompressedOptions, module: str, where: str) -> tuple[ArgumentsOfTensors, str]:
    """The one way a module may be quantised, and its format."""
    try:
        groups, listed = groups_of(options, module), matches(options.ignored, module)
    except UnreadablePatternError as error:
        raise CheckpointError(f"{where}: a name of modules is wrong: {error}") from error
    ways = {(group.weights, group.format or str(options.format)) for group in groups if group.weights is not None}
    if listed:
        raise CheckpointError(f"{where}: ignore lists {module}, which is stored quantised: take it off the list")
    if len(ways) != 1:
        raise CheckpointError(
            f"{where}: {module} is stored quantised and is in {len(ways)} kinds of config_groups, expected one"
        )
    return ways.pop()


def _stored(checkpoint: Checkpoint, way: tuple[ArgumentsOfTensors, str], module: str, name: str) -> Stored:
    scheme, kind = way
    tensor = checkpoint.tensors[name]
    packed = kind == "pack-quantized"
    expected = (PACKED, "I32") if packed else ("weight", _CODES[scheme.type])
    if (name.rpartition(".")[2], tensor.dtype) != expected or len(tensor.shape) != 2:
        raise CheckpointError(
            f"{tensor.file}: {name} is {tensor.dtype} {list(tensor.shape)}, but its format {kind} has a matrix "
            f"{expected[0]} of {expected[1]}"
        )
    needed = [*_needed(scheme, packed)]
    if missing := [part for part in needed if f"{module}.{part}" not in checkpoint.tensors]:
        raise CheckpointError(f"{tensor.file}: {name} has no {' and no '.join(missing)}: download the model again")
    optional = [part for part in ("weight_zero_point", "weight_g_idx") if f"{module}.{part}" in checkpoint.tensors]
    parts = tuple(dict.fromkeys([expected[0], *needed, *optional]))
    shape = _shape(tensor, scheme, packed)
    return Stored(shape, tuple(f"{module}.{part}" for part in parts), partial(read, scheme=scheme, parts=parts))


def _needed(scheme: ArgumentsOfTensors, packed: bool) -> "Iterator[str]":
    yield "weight_scale"
    if packed:
        yield "weight_shape"
    if not scheme.symmetric:
        yield "weight_zero_point"
    if scheme.actorder == "group":
        yield "weight_g_idx"


def _shape(tensor: Tensor, scheme: ArgumentsOfTensors, packed: bool) -> tuple[int, ...]:
    outputs, inputs = tensor.shape
    return outputs, inputs * (32 // scheme.num_bits if packed else 1)
