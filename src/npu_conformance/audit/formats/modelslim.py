"""ModelSlim's int8 weights as vLLM-Ascend takes them: code times the scale of its row, less an offset for W8A16.

Read from the formulas of CANN's operators: `npu_quant_matmul` knows no offset of weights, and
`npu_weight_quant_batchmatmul` adds it to the code.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.weights import Floats
from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.modelslim import is_modelslim, scheme_of_modules, schemes
from npu_conformance.errors import CheckpointError

_PLAIN, _READ = "FLOAT", ("W8A8", "W8A8_DYNAMIC", "W8A16")
# Beside a weight; all but the first serve quantised arithmetic, or say again what the others do.
_PARTS = ("weight_scale", "weight_offset", "input_scale", "input_offset", "quant_bias", "deq_scale")


@dataclass(frozen=True)
class Int8:
    """A weight of ModelSlim."""

    shape: tuple[int, ...]
    """[outputs, inputs]."""
    codes: NDArray[np.int8]
    scale: Floats
    """[outputs, 1]."""
    offset: Floats
    """[outputs, 1], added to a code."""

    def rows(self, start: int, stop: int) -> Floats:
        """Some rows (see `Weights.rows`)."""
        whole = self.codes[start:stop].astype(np.float64) + self.offset[start:stop]
        return np.asarray(whole * self.scale[start:stop], dtype=np.float32)


def unread(checkpoint: Checkpoint) -> str | None:
    """See `Format`."""
    found = [name for name in schemes(checkpoint.folder) if name not in (_PLAIN, *_READ)]
    return f"scheme {found[0]}" if found else None


def parameter_of(checkpoint: Checkpoint, stored: str) -> str | None:
    """See `Format`."""
    module, _, part = stored.rpartition(".")
    return stored_name(checkpoint, f"{module}.weight") if part in ("weight", *_PARTS) else None


def stored_name(checkpoint: Checkpoint, name: str) -> str | None:
    """See `Format`."""
    tensor = checkpoint.tensors.get(name)
    is_code = tensor is not None and tensor.dtype == "I8" and name.endswith(".weight")
    return name if is_code and is_modelslim(checkpoint.folder) else None


def read(checkpoint: Checkpoint, name: str) -> Int8:
    """Read a weight that is stored as int8.

    Raises:
        CheckpointError: it has no scale for each row, or an offset that its scheme does not know.
    """
    module = name.removesuffix(".weight")
    outputs, inputs = checkpoint.tensors[name].shape
    scale, offset = (_by_row(checkpoint, f"{module}.{part}", outputs) for part in ("weight_scale", "weight_offset"))
    if scale is None:
        raise CheckpointError(f"{checkpoint.folder}: {name} is int8 without weight_scale: quantise the model again")
    if offset is None:
        offset = np.zeros_like(scale)
    if offset.any() and scheme_of_modules(checkpoint.folder).get(module) != "W8A16":
        raise CheckpointError(
            f"{checkpoint.folder}: {module}.weight_offset is not zero, and vLLM-Ascend leaves it out of W8A8: quantise "
            "the model again with symmetric weights"
        )
    return Int8((outputs, inputs), load_tensor(checkpoint, name).numpy(), scale, offset)


def _by_row(checkpoint: Checkpoint, name: str, outputs: int) -> Floats | None:
    if name not in checkpoint.tensors:
        return None
    values: Floats = load_tensor(checkpoint, name).float().numpy()
    if values.size != outputs:
        raise CheckpointError(
            f"{checkpoint.folder}: {name} has shape {list(values.shape)}; expected {[outputs, 1]}: quantise again"
        )
    return values.reshape(outputs, 1)
