"""How a checkpoint wants what enters its linear layers quantised, by its headers and options."""

from dataclasses import dataclass
from typing import Literal

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.modelslim import is_modelslim, scheme_of_modules
from npu_conformance.checkpoints.quantisation.schema import ArgumentsOfTensors, CompressedOptions, Fp8Options
from npu_conformance.checkpoints.quantised.compressed import groups_of
from npu_conformance.checkpoints.quantised.naming import UnreadablePatternError

_CODES, _PACKED = ("I8", "F8_E4M3"), ".weight_packed"
# What static scales are called, and the codes that zero has.
_SCALES, _ZEROS = ("input_scale", "activation_scale"), ("input_offset", "input_zero_point")
# ModelSlim's, by scheme: whether scales are stored, and the codes. W8A8_MIX is one in prefill and another in decode.
_MODELSLIM: dict[str, tuple[bool, Literal["int8", "fp8"]] | None] = {
    "FLOAT": None,
    "W8A16": None,
    "W4A16": None,
    "W8A8": (True, "int8"),
    "W8A8_DYNAMIC": (False, "int8"),
    "W4A8_DYNAMIC": (False, "int8"),
    "W8A8FP8_DYNAMIC": (False, "fp8"),
}


@dataclass(frozen=True)
class Activation:
    """How what enters a linear layer is quantised."""

    codes: Literal["int8", "fp8"]
    group: int | None = None
    """Neighbouring inputs of a token that share a scale; None: all of them."""
    scale: str | None = None
    """Stored tensor with the one scale of all tokens; None: each token has its own, from its largest value."""
    zero: str | None = None
    """Stored tensor with the code that zero has; None: it is 0."""


class _NotComputedError(Exception):
    """A way to quantise that is not computed here."""


def activations(checkpoint: Checkpoint) -> dict[str, Activation]:
    """The linear layers whose inputs an engine quantises, by name of the module.

    Nothing where no input is, and nothing where one is in a way that is not computed here: of experts (which
    transformers holds in one tensor), in MX formats, or by a scale of a whole batch.
    """
    try:
        found = {module: one for module, one in _found(checkpoint).items() if one is not None}
    except (_NotComputedError, UnreadablePatternError):
        return {}
    return {} if any(".experts." in module for module in found) else found


def _found(checkpoint: Checkpoint) -> dict[str, Activation | None]:
    if is_modelslim(checkpoint.folder):
        return {module: _modelslim(checkpoint, module, s) for module, s in scheme_of_modules(checkpoint.folder).items()}
    options = checkpoint.options
    modules = [
        name.rpartition(".")[0]
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(_PACKED) or (name.endswith(".weight") and tensor.dtype in _CODES)
    ]
    if isinstance(options, CompressedOptions):
        return {module: _compressed(checkpoint, options, module) for module in modules}
    if isinstance(options, Fp8Options):
        return {module: _fp8(checkpoint, options, module) for module in modules}
    return {}


def _modelslim(checkpoint: Checkpoint, module: str, scheme: str) -> Activation | None:
    if scheme not in _MODELSLIM:
        raise _NotComputedError(scheme)
    if (way := _MODELSLIM[scheme]) is None:
        return None
    static, codes = way
    return _static(checkpoint, module, codes) if static else Activation(codes)


def _compressed(checkpoint: Checkpoint, options: CompressedOptions, module: str) -> Activation | None:
    groups = groups_of(options, module)
    if not groups or (arguments := groups[0].input_activations) is None:
        return None
    if arguments.num_bits != 8:
        raise _NotComputedError(f"{arguments.num_bits} bits")
    codes: Literal["int8", "fp8"] = "int8" if arguments.type == "int" else "fp8"
    if arguments.dynamic is False:
        return _static(checkpoint, module, codes)
    return Activation(codes, _group(arguments))


def _group(arguments: ArgumentsOfTensors) -> int | None:
    """Inputs that share a scale; only symmetric ones, and none of a whole tensor, which would be of a batch."""
    by = arguments.inferred_strategy
    if arguments.dynamic is not True or not arguments.symmetric or by not in ("token", "group"):
        raise _NotComputedError(by)
    return arguments.group_size if by == "group" else None


def _fp8(checkpoint: Checkpoint, options: Fp8Options, module: str) -> Activation:
    if options.activation_scheme == "static":
        return _static(checkpoint, module, "fp8")
    return Activation("fp8", None if options.weight_block_size is None else options.weight_block_size[1])


def _static(checkpoint: Checkpoint, module: str, codes: Literal["int8", "fp8"]) -> Activation:
    scales, zeros = (
        [f"{module}.{end}" for end in ends if f"{module}.{end}" in checkpoint.tensors] for ends in (_SCALES, _ZEROS)
    )
    if not scales or checkpoint.tensors[scales[0]].size != 1:
        raise _NotComputedError(f"{module} has no scale for its inputs")
    return Activation(codes, scale=scales[0], zero=next(iter(zeros), None))
