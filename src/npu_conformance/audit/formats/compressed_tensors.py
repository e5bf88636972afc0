"""compressed-tensors as published, cell by cell: code times scale, less zero point times scale.

Layout: its `QuantizationArgs` say how many outputs and inputs share a scale. Codes are int8 or FP8, or are packed with
their zero points into words: those of consecutive inputs, and of consecutive outputs, each plus half of its range.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.formats.fp8 import E4M3FN
from npu_conformance.audit.formats.gptq import Integers, unpack
from npu_conformance.audit.weights import Floats
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.quantisation.schema import ArgumentsOfTensors, CompressedGroup, CompressedOptions
from npu_conformance.checkpoints.quantised.compressed import groups_of
from npu_conformance.checkpoints.quantised.naming import UnreadablePatternError
from npu_conformance.errors import CheckpointError

_PACKED, _WHOLE = "weight_packed", ("I8", "F8_E4M3")
_PARTS = (_PACKED, "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx")
# For quantised arithmetic only.
_ACTIVATIONS = ("input_scale", "input_zero_point", "output_scale", "output_zero_point")
# Format, type, bits and strategy that are read.
_READ = {
    *(("pack-quantized", "int", bits, by) for bits in (4, 8) for by in ("channel", "group")),
    *(("int-quantized", "int", 8, by) for by in ("tensor", "channel", "group", "block")),
    *(("float-quantized", "float", 8, by) for by in ("tensor", "channel", "group", "block")),
    *(("naive-quantized", kind, 8, by) for kind in ("int", "float") for by in ("tensor", "channel", "group", "block")),
}


@dataclass(frozen=True)
class Compressed:
    """A parameter of compressed-tensors."""

    shape: tuple[int, ...]
    """[outputs, inputs]."""
    codes: NDArray[Any]
    """int8 [outputs, inputs]; uint8 for FP8; uint32 [outputs, words] if packed."""
    bits: int
    scale: Floats
    """[block rows, block columns]."""
    zeros: Floats
    """Zero points, in the scale's shape."""
    block_rows: int
    """Rows that share a scale."""
    groups: Integers
    """Block column of each input."""

    def rows(self, start: int, stop: int) -> Floats:
        """Some rows (see `Weights.rows`)."""
        cells = np.ix_(np.arange(start, stop) // self.block_rows, self.groups)
        scale = self.scale[cells].astype(np.float64)
        # Both products and their difference are exact in float64.
        return np.asarray(self._codes(start, stop) * scale - self.zeros[cells] * scale, dtype=np.float32)

    def _codes(self, start: int, stop: int) -> Floats:
        part = self.codes[start:stop]
        match part.dtype.kind, part.dtype.itemsize:
            case "u", 4:
                return _signed(part, self.bits)
            case "u", 1:
                return np.asarray(E4M3FN[part])
        return np.asarray(part, dtype=np.float32)


def _signed(words: NDArray[np.uint32], bits: int) -> Floats:
    signed: Floats = unpack(words, bits).astype(np.float32) - np.float32(1 << bits >> 1)
    return signed


def unread(checkpoint: Checkpoint) -> str | None:
    """See `Format`."""
    options = checkpoint.options
    if not isinstance(options, CompressedOptions):
        return "options that are wrong"
    if (sparsity := (options.sparsity_config or {}).get("format", "dense")) != "dense":
        return f"sparsity_config.format {sparsity}"
    if any((options.transform_config or {}).values()):
        return "transform_config"
    found = (_unread_of(options, group, group.weights) for group in options.config_groups.values() if group.weights)
    return next(filter(None, found), None)


def _unread_of(options: CompressedOptions, group: CompressedGroup, scheme: ArgumentsOfTensors) -> str | None:
    kind = (str(group.format or options.format), scheme.type, scheme.num_bits, scheme.inferred_strategy)
    if kind not in _READ or (scheme.type == "float" and not scheme.symmetric):
        symmetric = "" if scheme.symmetric else ", not symmetric"
        return f"format {kind[0]} of {kind[1]} in {kind[2]} bits by {kind[3]}{symmetric}"
    return None


def parameter_of(checkpoint: Checkpoint, stored: str) -> str | None:
    """See `Format`."""
    module, _, part = stored.rpartition(".")
    name = f"{module}.weight"
    return name if part in ("weight", *_PARTS, *_ACTIVATIONS) and stored_name(checkpoint, name) is not None else None


def stored_name(checkpoint: Checkpoint, name: str) -> str | None:
    """See `Format`."""
    if checkpoint.quantisation.get("quant_method") != "compressed-tensors" or not name.endswith("weight"):
        return None
    packed = f"{name.removesuffix('weight')}{_PACKED}"
    if packed in checkpoint.tensors:
        return packed
    return name if name in checkpoint.tensors and checkpoint.tensors[name].dtype in _WHOLE else None


def read(checkpoint: Checkpoint, name: str) -> Compressed:
    """Read a parameter that compressed-tensors quantised.

    Raises:
        CheckpointError: its options are not read here, a part is missing, or the parts do not fit each other.
    """
    scheme = _scheme(checkpoint, name.removesuffix(".weight"))
    stored = stored_name(checkpoint, name) or name
    packed = stored.endswith(_PACKED)
    codes = _codes(checkpoint, stored)
    outputs, inputs = len(codes), codes.shape[1] * (32 // scheme.num_bits if packed else 1)
    block = _block(scheme, outputs, inputs)
    grid = (-(-outputs // block[0]), -(-inputs // block[1]))
    scale = _on_grid(checkpoint, f"{name}_scale", grid)
    zeros: Floats = np.zeros(grid, dtype=np.float32)
    if f"{name}_zero_point" in checkpoint.tensors and packed:
        words = _packed_zeros(checkpoint, f"{name}_zero_point", (-(-outputs * scheme.num_bits // 32), grid[1]))
        zeros = _signed(words.T, scheme.num_bits)[:, :outputs].T
    elif f"{name}_zero_point" in checkpoint.tensors:
        zeros = _on_grid(checkpoint, f"{name}_zero_point", grid)
    elif not scheme.symmetric:
        raise CheckpointError(f"{checkpoint.folder}: {name} has no {name}_zero_point: download the model again")
    if scheme.symmetric and zeros.any():
        raise CheckpointError(
            f"{checkpoint.folder}: {name}_zero_point is not 0 everywhere, but its group says symmetric: correct it"
        )
    if packed:
        _check_shape(checkpoint, f"{name}_shape", [outputs, inputs])
    groups = _groups(checkpoint, f"{name}_g_idx", scheme, inputs, block[1])
    return Compressed((outputs, inputs), codes, scheme.num_bits, scale, zeros, block[0], groups)


def _check_shape(checkpoint: Checkpoint, name: str, expected: list[int]) -> None:
    noted = load_tensor(checkpoint, name).tolist() if name in checkpoint.tensors else "missing"
    if noted != expected:
        raise CheckpointError(
            f"{checkpoint.folder}: {name} is {noted}; expected {expected} from the packed codes and num_bits: weights "
            "and quantization_config are not of the same model"
        )


def _scheme(checkpoint: Checkpoint, module: str) -> ArgumentsOfTensors:
    """How a module is quantised; all groups it is in agree."""
    if (why := unread(checkpoint)) is not None or not isinstance(checkpoint.options, CompressedOptions):
        raise CheckpointError(f"{checkpoint.folder}: compressed-tensors with {why} is not read")
    try:
        schemes = {group.weights for group in groups_of(checkpoint.options, module)}
    except UnreadablePatternError as error:
        raise CheckpointError(f"{checkpoint.folder}: a target of config_groups is wrong: {error}") from error
    match [*schemes]:
        case [ArgumentsOfTensors() as scheme]:
            return scheme
    raise CheckpointError(
        f"{checkpoint.folder}: {module} is quantised and in {len(schemes)} kinds of config_groups; expected one"
    )


def _codes(checkpoint: Checkpoint, stored: str) -> NDArray[Any]:
    import torch

    tensor = load_tensor(checkpoint, stored)
    views = {torch.int8: np.int8, torch.float8_e4m3fn: np.uint8, torch.int32: np.uint32}
    if tensor.dtype not in views or tensor.ndim != 2 or stored.endswith(_PACKED) != (tensor.dtype == torch.int32):
        raise CheckpointError(f"{checkpoint.folder}: {stored} is {tensor.dtype} of shape {list(tensor.shape)}")
    plain = tensor.view(torch.uint8) if tensor.dtype == torch.float8_e4m3fn else tensor
    return np.ascontiguousarray(plain.numpy()).view(views[tensor.dtype])


def _block(scheme: ArgumentsOfTensors, outputs: int, inputs: int) -> tuple[int, int]:
    sizes = {"tensor": (outputs, inputs), "channel": (1, inputs), "block": scheme.block_structure}
    size = sizes.get(scheme.inferred_strategy, (1, scheme.group_size or 0))
    if size is None or size[1] < 1 or (scheme.inferred_strategy == "group" and inputs % size[1]):
        raise CheckpointError(f"strategy {scheme.inferred_strategy} does not fit a weight {[outputs, inputs]}: {size}")
    return size


def _on_grid(checkpoint: Checkpoint, name: str, grid: tuple[int, int]) -> Floats:
    """Scales or zero points; those of one column may be a list, and a single one anything."""
    if name not in checkpoint.tensors:
        raise CheckpointError(f"{checkpoint.folder}: no {name}: download the model again")
    values: Floats = load_tensor(checkpoint, name).float().numpy()
    single, by_row = grid == (1, 1) and values.size == 1, grid[1] == 1 and values.shape == grid[:1]
    if not (values.shape == grid or single or by_row):
        raise CheckpointError(
            f"{checkpoint.folder}: {name} has shape {list(values.shape)}; expected {list(grid)}: weights and "
            "quantization_config are not of the same model"
        )
    return values.reshape(grid)


def _packed_zeros(checkpoint: Checkpoint, name: str, shape: tuple[int, int]) -> NDArray[np.uint32]:
    tensor = load_tensor(checkpoint, name).numpy()
    if tensor.dtype != np.int32 or tensor.shape != shape:
        raise CheckpointError(
            f"{checkpoint.folder}: {name} is {tensor.dtype} of shape {list(tensor.shape)}; expected int32 of shape "
            f"{list(shape)}: download the model again"
        )
    return np.asarray(tensor).view(np.uint32)


def _groups(checkpoint: Checkpoint, name: str, scheme: ArgumentsOfTensors, inputs: int, size: int) -> Integers:
    in_order: Integers = np.arange(inputs) // size
    if name not in checkpoint.tensors:
        if scheme.actorder == "group":
            raise CheckpointError(f"{checkpoint.folder}: actorder is group, but there is no {name}: download it again")
        return in_order
    groups: Integers = load_tensor(checkpoint, name).numpy().astype(np.int64)
    if groups.shape != (inputs,) or (np.sort(groups) != in_order).any():
        raise CheckpointError(
            f"{checkpoint.folder}: {name} does not name each group {size} times; expected it for {inputs} inputs: "
            "download the model again"
        )
    if scheme.actorder != "group" and (groups != in_order).any():
        raise CheckpointError(f"{checkpoint.folder}: {name} is not in order, but actorder is not group: correct it")
    return groups
