"""GPTQ weights: integers packed into int32 words along the inputs, with a scale and a zero point for each group.

The layout is that of AutoGPTQ's and GPTQModel's `qlinear_torch`: word `w` of a column holds the codes of inputs
`w * 32 / bits` onwards, the lowest bits first; zero points are packed in the same way along the outputs.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.quantisation.schema import GptqOptions, require
from npu_conformance.conversion.packing import unpack
from npu_conformance.conversion.scheme import Quantised, Scheme, Stored, check_scales, describe
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_PARTS = ("qweight", "qzeros", "scales", "g_idx")
# Codes of 3 bits cross the words' ends.
_BITS = (2, 4, 8)


def dequantise(
    qweight: "torch.Tensor",
    qzeros: "torch.Tensor",
    scales: "torch.Tensor",
    g_idx: "torch.Tensor | None",
    options: GptqOptions,
) -> "torch.Tensor":
    """(code - zero point) * scale of the input's group, exact in float32.

    Args:
        qweight: [in * bits / 32, out], int32.
        qzeros: [groups, out * bits / 32], int32.
        scales: [groups, out], float16 or bfloat16.
        g_idx: [in], int32; the group of each input. None: neighbours are in groups.
        options: of the checkpoint.

    Returns:
        [out, in], float32.

    Raises:
        CheckpointError: shapes, dtypes or values do not fit each other or the options.
    """
    codes, steps = read(qweight, qzeros, scales, g_idx, options=options).rows(0, qweight.shape[1])
    return codes * steps


def read(
    qweight: "torch.Tensor",
    qzeros: "torch.Tensor",
    scales: "torch.Tensor",
    g_idx: "torch.Tensor | None" = None,
    *,
    options: GptqOptions,
) -> Quantised:
    """The same for a part of the rows at a time (see `dequantise`, also for what is raised)."""
    import torch

    _check_shapes(qweight, qzeros, scales, options)
    inputs = qweight.shape[0] * 32 // options.bits
    groups = _in_order(inputs, options) if g_idx is None else _groups(g_idx, inputs, scales.shape[0], options)
    check_scales(scales.to(torch.float32))
    zeros = _zero_points(qzeros, options)

    def rows(start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor]":
        codes = unpack(qweight[:, start:stop].T, options.bits)
        codes -= zeros[:, start:stop].T[:, groups]
        return codes.to(torch.float32), scales[:, start:stop].T.to(torch.float32)[:, groups]

    return Quantised(rows, {"bits": options.bits, "group_size": options.group_size})


def _zero_points(qzeros: "torch.Tensor", options: GptqOptions) -> "torch.Tensor":
    """[groups, out] int32."""
    zeros = unpack(qzeros, options.bits)
    if options.checkpoint_format == "gptq":
        # A zero point of 0 is stored as the highest code.
        zeros = (zeros + 1) & (2**options.bits - 1)
    middle = 2 ** (options.bits - 1)
    if options.sym and not bool((zeros == middle).all()):
        raise CheckpointError(
            f"sym is true, so zero points must be {middle}, found {zeros.min()} to {zeros.max()}: "
            f"is checkpoint_format {options.checkpoint_format!r} right?"
        )
    return zeros


def _check_shapes(
    qweight: "torch.Tensor", qzeros: "torch.Tensor", scales: "torch.Tensor", options: GptqOptions
) -> None:
    import torch

    pack = 32 // options.bits
    if qweight.dtype != torch.int32 or qweight.ndim != 2 or qweight.shape[1] % pack:
        raise CheckpointError(
            f"expected qweight int32 [in / {pack}, a multiple of {pack}], found {describe(qweight)}: is bits right?"
        )
    inputs, outputs = qweight.shape[0] * pack, qweight.shape[1]
    groups = 1 if options.group_size == -1 else -(-inputs // options.group_size)
    expected = {
        "qzeros": (qzeros, "int32", [groups, outputs // pack]),
        "scales": (scales, "bfloat16" if scales.dtype == torch.bfloat16 else "float16", [groups, outputs]),
    }
    for name, (tensor, dtype, shape) in expected.items():
        if describe(tensor) != f"{dtype} {shape}":
            raise CheckpointError(
                f"{name} is {describe(tensor)}, expected {dtype} {shape} for a weight [{outputs}, {inputs}] "
                f"with bits {options.bits} and group_size {options.group_size}"
            )


def _in_order(inputs: int, options: GptqOptions) -> "torch.Tensor":
    """[inputs] int64: groups of neighbours."""
    import torch

    return torch.arange(inputs) // (inputs if options.group_size == -1 else options.group_size)


def _groups(g_idx: "torch.Tensor", inputs: int, count: int, options: GptqOptions) -> "torch.Tensor":
    """`g_idx` as an index, [inputs] int64."""
    import torch

    if describe(g_idx) != f"int32 [{inputs}]":
        raise CheckpointError(f"g_idx is {describe(g_idx)}, expected int32 [{inputs}]: download the model again")
    low, high = int(g_idx.min()), int(g_idx.max())
    if low < 0 or high >= count:
        raise CheckpointError(f"g_idx is {low} to {high}, expected 0 to {count - 1}: download the model again")
    groups = g_idx.to(torch.long)
    if not options.desc_act and not torch.equal(groups, _in_order(inputs, options)):
        raise CheckpointError(
            "desc_act is false, but g_idx does not number the groups in order: an engine that goes by desc_act "
            "would compute another model; set desc_act to true in the config, or download the model again"
        )
    return groups


def find(checkpoint: Checkpoint, quantisation: dict[str, Any], where: str) -> Scheme:
    """The GPTQ weights of a checkpoint.

    Args:
        checkpoint: an inspected folder.
        quantisation: its `quantization_config`, or its `quantize_config.json`.
        where: the file and key that is, for messages.

    Raises:
        CheckpointError: an option is missing or unknown, or modules have options of their own.
    """
    options = require(GptqOptions, quantisation, where)
    if options.dynamic:
        raise CheckpointError(f"{where}: dynamic: modules with options of their own cannot be converted")
    if options.bits not in _BITS:
        raise CheckpointError(f"{where}: bits is {options.bits}, but only weights of 2, 4 and 8 bits can be converted")
    modules = [name.removesuffix(_PARTS[0]) for name in checkpoint.tensors if name.endswith(f".{_PARTS[0]}")]
    weights = {f"{module}weight": _stored(checkpoint, module, options) for module in modules}
    return Scheme("gptq", options.model_dump(), weights, frozenset())


def _stored(checkpoint: Checkpoint, module: str, options: GptqOptions) -> Stored:
    words, outputs = checkpoint.tensors[module + _PARTS[0]].shape
    # Without desc_act there may be no g_idx.
    parts = tuple(module + part for part in _PARTS if module + part in checkpoint.tensors)
    return Stored((outputs, words * 32 // options.bits), parts, partial(read, options=options))
