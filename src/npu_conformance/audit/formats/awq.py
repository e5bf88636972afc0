"""AWQ as published, code by code: (code - zero point) times scale, both of the input's group.

Layout: Lin et al., AWQ (2023), as AutoAWQ's `WQLinear_GEMM` stores it: each word of `qweight` and `qzeros` holds the
codes of eight outputs in the order of its `order_map`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.formats.gptq import Gptq, Integers, Words
from npu_conformance.audit.weights import Floats
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.errors import CheckpointError

_PARTS = ("qweight", "qzeros", "scales")
# Which output of eight lies at each place, the lowest bits first.
_ORDER_MAP = (0, 2, 4, 6, 1, 3, 5, 7)


class Awq(Gptq):
    """A parameter in AWQ, its codes packed again as GPTQ packs them."""


def packed_order(weights: Awq) -> Iterator[Awq]:
    """The mistake of taking the outputs of a word as they lie in it, in the codes alone and in all parts."""
    order = np.arange(weights.shape[0]).reshape(-1, 8)[:, list(_ORDER_MAP)].ravel()
    codes = replace(weights, words=weights.words[:, order])
    yield codes
    yield replace(codes, zeros=weights.zeros[:, order])
    yield replace(codes, zeros=weights.zeros[:, order], scales=weights.scales[:, order])


def unread(checkpoint: Checkpoint) -> str | None:
    """See `Format`."""
    options = checkpoint.quantisation
    version = str(options.get("version", "gemm")).lower()
    bits = _option(options, "bits", "w_bit")
    if bits != 4:
        return f"bits {bits}"
    if version != "gemm":
        return f"version {version}"
    return None if options.get("zero_point") is True else f"zero_point {options.get('zero_point')}"


def parameter_of(checkpoint: Checkpoint, stored: str) -> str | None:
    """See `Format`."""
    module, _, part = stored.rpartition(".")
    owned = _is_awq(checkpoint) and part in _PARTS and f"{module}.qweight" in checkpoint.tensors
    return f"{module}.weight" if owned else None


def stored_name(checkpoint: Checkpoint, name: str) -> str | None:
    """See `Format`."""
    qweight = f"{name.removesuffix('.weight')}.qweight"
    owned = _is_awq(checkpoint) and name.endswith(".weight") and qweight in checkpoint.tensors
    return qweight if owned else None


def read(checkpoint: Checkpoint, name: str) -> Awq:
    """Read a parameter that is stored in AWQ's parts.

    Raises:
        CheckpointError: a part is missing, or the parts disagree with each other or with the config.
    """
    if (why := unread(checkpoint)) is not None:
        raise CheckpointError(f"{checkpoint.folder}: AWQ with {why} is not read: use another checkpoint of this model")
    module = name.removesuffix(".weight")
    if missing := [part for part in _PARTS if f"{module}.{part}" not in checkpoint.tensors]:
        raise CheckpointError(f"{checkpoint.folder}: {module} has no {missing[0]}: download the model again")
    qweight, qzeros, scales = (load_tensor(checkpoint, f"{module}.{part}") for part in _PARTS)
    factors: Floats = scales.float().numpy()
    shapes = (qweight.shape, qzeros.shape, scales.shape)
    size = _option(checkpoint.quantisation, "group_size", "q_group_size")
    if any(len(shape) != 2 for shape in shapes):
        raise CheckpointError(f"{checkpoint.folder}: {module} has parts of shapes {shapes}, expected three matrices")
    inputs, words = shapes[0]
    size = inputs if size == -1 else size
    # Groups are whole, and so are the words that codes are packed into again.
    whole = isinstance(size, int) and size > 0 and inputs % size == 0 and inputs % 8 == 0
    if not whole or shapes[1] != (inputs // size, words) or shapes[2] != (inputs // size, 8 * words):
        raise CheckpointError(
            f"{checkpoint.folder}: {module} has {', '.join(map(str, map(list, shapes)))}; expected them to fit each "
            f"other in groups of {size}: weights and quantisation config are not of the same model"
        )
    zeros = _outputs(qzeros.numpy()).astype(np.int64)
    groups: Integers = np.arange(inputs) // size
    return Awq(4, size, _packed_along_inputs(_outputs(qweight.numpy())), zeros, factors, groups)


def _outputs(words: Any) -> NDArray[np.uint8]:
    """Words int32 [m, n] to codes [m, 8 n] with each where its output is."""
    octets = np.ascontiguousarray(words).view("<u4").view(np.uint8)
    places = np.stack([octets & 15, octets >> 4], axis=-1).reshape(*words.shape, 8)
    codes = np.empty_like(places)
    codes[..., list(_ORDER_MAP)] = places
    return codes.reshape(len(words), -1)


def _packed_along_inputs(codes: NDArray[np.uint8]) -> Words:
    """Codes [inputs, outputs] to words [inputs / 8, outputs], the first input in the lowest bits."""
    words: Words = np.zeros((len(codes) // 8, codes.shape[1]), dtype=np.uint32)
    for place in range(8):
        words |= codes[place::8].astype(np.uint32) << np.uint32(4 * place)
    return words


def _is_awq(checkpoint: Checkpoint) -> bool:
    return checkpoint.quantisation.get("quant_method") == "awq"


def _option(options: dict[str, Any], key: str, older: str) -> Any:
    return options.get(key, options.get(older))
