"""AWQ weights: codes of 4 bits packed into int32 words along the outputs, with a scale and a zero point for each group.

The layout is that of AutoAWQ's `WQLinear_GEMM`, which its kernels chose: the eight outputs of a word do not lie in
order.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, some
from npu_conformance.checkpoints.quantisation.schema import AwqOptions, require
from npu_conformance.conversion.packing import unpack
from npu_conformance.conversion.scheme import Quantised, Scheme, Stored, check_scales, describe
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_PARTS = ("qweight", "qzeros", "scales")
_PACK = 8
# By output: the place of its code in the word, counted from the lowest bits.
_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)


def read(qweight: "torch.Tensor", qzeros: "torch.Tensor", scales: "torch.Tensor", *, options: AwqOptions) -> Quantised:
    """(code - zero point) and the scale of the input's group, exact in float32.

    Args:
        qweight: [in, out / 8], int32.
        qzeros: [groups, out / 8], int32.
        scales: [groups, out], float16 or bfloat16.
        options: of the checkpoint.

    Raises:
        CheckpointError: shapes, dtypes or values do not fit each other or the options.
    """
    import torch

    size = _group_size(qweight, options)
    _check_shapes(qweight, qzeros, scales, size)
    check_scales(scales.to(torch.float32))
    groups = torch.arange(qweight.shape[0]) // size
    zeros = _unpack(qzeros)

    def rows(start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor]":
        first = start // _PACK
        codes = _unpack(qweight[:, first : -(-stop // _PACK)])[:, start - first * _PACK : stop - first * _PACK]
        codes = codes - zeros[groups, start:stop]
        return codes.T.to(torch.float32), scales[:, start:stop].T.to(torch.float32)[:, groups]

    return Quantised(rows, {"bits": options.bits, "group_size": options.group_size})


def _unpack(words: "torch.Tensor") -> "torch.Tensor":
    """[rows, out / 8] int32 to [rows, out] int32, the outputs in order."""
    return unpack(words, 4).unflatten(1, (-1, _PACK))[:, :, list(_PLACES)].flatten(1)


def _group_size(qweight: "torch.Tensor", options: AwqOptions) -> int:
    if describe(qweight) != f"int32 {list(qweight.shape)}" or qweight.ndim != 2:
        raise CheckpointError(f"expected qweight int32 [in, out / {_PACK}], found {describe(qweight)}")
    inputs = qweight.shape[0]
    size = inputs if options.group_size == -1 else options.group_size
    if inputs % size:
        raise CheckpointError(f"qweight has {inputs} inputs, expected a multiple of group_size {size}: is it right?")
    return size


def _check_shapes(qweight: "torch.Tensor", qzeros: "torch.Tensor", scales: "torch.Tensor", size: int) -> None:
    import torch

    inputs, words = qweight.shape
    outputs, groups = words * _PACK, inputs // size
    expected = {
        "qzeros": (qzeros, "int32", [groups, words]),
        "scales": (scales, "bfloat16" if scales.dtype == torch.bfloat16 else "float16", [groups, outputs]),
    }
    for name, (tensor, dtype, shape) in expected.items():
        if describe(tensor) != f"{dtype} {shape}":
            raise CheckpointError(
                f"{name} is {describe(tensor)}, expected {dtype} {shape} for a weight [{outputs}, {inputs}] in groups "
                f"of {size}: is group_size right?"
            )


def find(checkpoint: Checkpoint, quantisation: dict[str, Any], where: str) -> Scheme:
    """The AWQ weights of a checkpoint.

    Args:
        checkpoint: an inspected folder.
        quantisation: its `quantization_config`.
        where: the file and key that is, for messages.

    Raises:
        CheckpointError: an option is missing, unknown or not converted, or a part is without the others.
    """
    options = require(AwqOptions, quantisation, where)
    if options.bits != 4:
        raise CheckpointError(f"{where}: bits is {options.bits}, but only weights of 4 bits can be converted")
    if options.version.lower() != "gemm":
        raise CheckpointError(f"{where}: version is {options.version!r}, but only 'gemm' can be converted")
    if not options.zero_point:
        raise CheckpointError(f"{where}: zero_point is false, but only weights with zero points can be converted")
    modules = [name.removesuffix(_PARTS[0]) for name in checkpoint.tensors if name.endswith(f".{_PARTS[0]}")]
    weights = {f"{module}weight": _stored(checkpoint, module, options) for module in modules}
    parts = {part for stored in weights.values() for part in stored.parts}
    ends = tuple(f".{part}" for part in (*_PARTS, "g_idx"))
    if alone := [name for name in checkpoint.tensors if name.endswith(ends) and name not in parts]:
        # Of an activation function that AutoAWQ scaled, or of another format.
        raise CheckpointError(f"{checkpoint.folder}: {some(alone)} belongs to no AWQ weight: this cannot be converted")
    return Scheme("awq", options.model_dump(), weights, frozenset())


def _stored(checkpoint: Checkpoint, module: str, options: AwqOptions) -> Stored:
    names = tuple(module + part for part in _PARTS)
    if missing := [name for name in names if name not in checkpoint.tensors]:
        raise CheckpointError(f"{checkpoint.folder}: no {some(missing)}: download the model again")
    tensor = checkpoint.tensors[names[0]]
    if len(tensor.shape) != 2:
        raise CheckpointError(f"{tensor.file}: {names[0]} is {list(tensor.shape)}, expected [in, out / {_PACK}]")
    return Stored((tensor.shape[1] * _PACK, tensor.shape[0]), names, partial(read, options=options))
