"""What enters quantised layers of a transformers model, rounded to the codes that a quantised engine would multiply.

The values stay floating-point numbers: code times scale. An engine multiplies codes and rounds the sum once; here the
sum is of values in the model's dtype, which are rounded besides.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.quantised.activations import Activation, activations
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

QUANTISED_VERSION = 1
"""Part of cache keys: raised when other numbers are computed for the same inputs."""
_LARGEST = {"int8": 127.0, "fp8": 448.0}
Rounding = Callable[["torch.Tensor"], "torch.Tensor"]


def quantise_inputs(model: Any, checkpoint: Checkpoint) -> int:
    """Let every layer whose inputs the checkpoint wants quantised see them rounded, from now on.

    Args:
        model: of transformers, made from the checkpoint.
        checkpoint: says how (see `activations`).

    Returns:
        How many layers there are.

    Raises:
        CheckpointError: the model has no linear layer of that name.
    """
    import torch

    linears = {name: one for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}
    # Of a model that transformers holds under another name, such as in one that can see.
    ends = {_in_layers(name): one for name, one in linears.items()}
    wanted = activations(checkpoint)
    for name, how in wanted.items():
        found = linears.get(name) or ends.get(_in_layers(name))
        if found is None:
            raise CheckpointError(
                f"{checkpoint.folder}: {name} is quantised, but transformers' model has no such linear layer"
            )
        found.register_forward_pre_hook(_hook(rounding(how, checkpoint)))
    return len(wanted)


def _in_layers(name: str) -> str:
    return name[max(0, name.find("layers.")) :]


def _hook(rounded: Rounding) -> Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]:
    return lambda _, inputs: (rounded(inputs[0]), *inputs[1:])


def rounding(how: Activation, checkpoint: Checkpoint) -> Rounding:
    """From what enters a layer [..., inputs] to the values of its codes, in the same dtype.

    Args:
        how: it is quantised.
        checkpoint: has the scales that are stored.
    """
    largest = _LARGEST[how.codes]
    if how.scale is not None:
        scale = float(load_tensor(checkpoint, how.scale).float())
        zero = 0.0 if how.zero is None else float(load_tensor(checkpoint, how.zero).float())
        return lambda states: _values(states.float(), scale, how.codes, zero).to(states.dtype)

    def by_token(states: "torch.Tensor") -> "torch.Tensor":
        values = states.float()
        # A last group may be cut off.
        parts = [values] if how.group is None else list(values.split(how.group, dim=-1))
        done = [_values(part, part.abs().amax(-1, keepdim=True) / largest, how.codes) for part in parts]
        return _joined(done).to(states.dtype)

    return by_token


def _joined(parts: "list[torch.Tensor]") -> "torch.Tensor":
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _values(states: "torch.Tensor", scale: Any, codes: str, zero: float = 0.0) -> "torch.Tensor":
    """Codes times scale, float32; a token that is all zero has a scale of zero, and stays."""
    import torch

    steps = states / (scale.clamp_min(torch.finfo(torch.float32).tiny) if isinstance(scale, torch.Tensor) else scale)
    if codes == "fp8":
        largest = _LARGEST[codes]
        return steps.clamp(-largest, largest).to(torch.float8_e4m3fn).float() * scale
    return ((steps + zero).round().clamp(-128, 127) - zero) * scale
