"""Weights of compressed-tensors and their scales, by their headers: what each group's scheme asks for."""

from collections.abc import Iterator

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.quantisation.schema import ArgumentsOfTensors, CompressedGroup, CompressedOptions
from npu_conformance.checkpoints.quantised.naming import UnreadablePatternError, matches
from npu_conformance.checkpoints.quantised.problems import Problem, findings_of
from npu_conformance.checkpoints.tensor import Tensor

_CODES = ("I8", "F8_E4M3")
_PACKED = "weight_packed"


def compressed_findings(checkpoint: Checkpoint, options: CompressedOptions) -> list[Finding]:
    """Scales, zero points and scales of activations that are missing or of another shape."""
    modules = {
        name.rpartition(".")[0]: tensor
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(f".{_PACKED}") or (name.endswith(".weight") and tensor.dtype in _CODES)
    }
    try:
        return findings_of(
            problem
            for module, weight in modules.items()
            if (group := next(iter(groups_of(options, module)), None)) is not None
            for problem in _problems(checkpoint, group, module, weight)
        )
    except UnreadablePatternError as error:
        return [Finding("error", "config.json", f"a target of config_groups is wrong: {error}; correct it")]


def groups_of(options: CompressedOptions, module: str) -> list[CompressedGroup]:
    """The groups of a module: those that name it go before those of all linear layers.

    Raises:
        UnreadablePatternError: a target is no regular expression, or finds no end.
    """
    groups = [group for group in options.config_groups.values() if group.weights is not None]
    named = [group for group in groups if matches(group.targets, module)]
    return named or [group for group in groups if "Linear" in group.targets]


def _problems(checkpoint: Checkpoint, group: CompressedGroup, module: str, weight: Tensor) -> Iterator[Problem]:
    scheme = group.weights
    if scheme is None or len(weight.shape) < 2:
        return
    needed = ["weight_scale"]
    if not scheme.symmetric:
        needed.append("weight_zero_point")
    if missing := [part for part in needed if f"{module}.{part}" not in checkpoint.tensors]:
        message = f"no {' and no '.join(missing)} beside its weight: download the model again, or quantise it again"
        yield Problem("parts", module, message)
        return
    yield from _scale(module, scheme, weight, checkpoint.tensors[f"{module}.weight_scale"])
    inputs = group.input_activations
    if inputs is not None and inputs.dynamic is False and f"{module}.input_scale" not in checkpoint.tensors:
        message = (
            "input_activations of its group are not dynamic, but there is no input_scale: vLLM would compute with "
            "uninitialised memory; quantise the model again"
        )
        yield Problem("input", module, message, "suspicion")


def _scale(module: str, scheme: ArgumentsOfTensors, weight: Tensor, scale: Tensor) -> Iterator[Problem]:
    shapes = _expected(scheme, weight)
    if shapes is None or scale.shape in shapes:
        return
    listed = " or ".join(str(list(shape)) for shape in shapes)
    strategy = f"strategy {scheme.strategy}" if scheme.strategy else "its scheme"
    message = f"weight_scale is {list(scale.shape)}, {strategy} needs {listed}: quantise the model again"
    yield Problem("scale", module, message)


def _expected(scheme: ArgumentsOfTensors, weight: Tensor) -> list[tuple[int, ...]] | None:
    """The shapes that a scale may have; None where the strategy is not known here."""
    *experts, outputs, inputs = weight.shape
    if weight.dtype not in _CODES:
        inputs = inputs * (32 if weight.dtype == "I32" else 8) // scheme.num_bits
    size = scheme.group_size or -1
    match scheme.inferred_strategy:
        case "tensor":
            return [(*experts, 1), (), (*experts, 1, 1)]
        case "channel":
            return [(*experts, outputs, 1), (*experts, outputs)]
        case "group" | "tensor_group":
            return [(*experts, outputs, 1 if size == -1 else -(-inputs // size))]
        case "block" if scheme.block_structure is not None:
            rows, columns = scheme.block_structure
            return [(*experts, -(-outputs // rows), -(-inputs // columns))]
    return None
