"""ModelSlim checkpoints, which vLLM-Ascend serves with `quantization: ascend`.

`quant_model_description.json` gives the scheme of each stored tensor. What a scheme stores is written down from
vLLM-Ascend 0.23's loader (`quantization/modelslim_config.py` and `quantization/methods/`). It does not miss a tensor
that is absent: it computes with whatever the memory holds.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.stack import find_stack
from npu_conformance.checkpoints.tensor import Tensor

DESCRIPTION = "quant_model_description.json"

_FLOAT = "FLOAT"
_STATIC = {"input_scale": "one", "input_offset": "one", "quant_bias": "flat", "deq_scale": "flat"}
_CHANNEL = {"weight_scale": "column"}
# By scheme: the tensors beside an int8 weight, and how they lie: one number, [outputs], [outputs, 1], or by groups.
_PARTS: dict[str, dict[str, str]] = {
    "W8A8": _STATIC,
    "W8A8_MIX": _STATIC | _CHANNEL,
    "W8A8_DYNAMIC": _CHANNEL,
    "W8A16": _CHANNEL | {"weight_offset": "column"},
    "W4A8_DYNAMIC": _CHANNEL | {"weight_scale_second": "groups"},
}
# Known to the loader, not checked here.
_OTHER_SCHEMES = {
    "W4A16",
    "W4A16_MXFP4",
    "W4A4_DYNAMIC",
    "W4A4_FLATQUANT_DYNAMIC",
    "W4A4_MXFP4",
    "W4A4_MXFP4_FLATQUANT",
    "W4A8_MXFP",
    "W8A8FP8_DYNAMIC",
    "W8A8_MXFP8",
}
# The dtype vLLM-Ascend computes in, by the dtype of deq_scale.
_SERVED_AS = {"F32": "bfloat16", "I64": "float16"}
_GROUP_SIZE = 256
# vLLM computes the parts of these as one layer, so that they need one scheme.
_FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
    "in_proj_qkv": "in_proj_qkvz",
    "in_proj_z": "in_proj_qkvz",
    "in_proj_b": "in_proj_ba",
    "in_proj_a": "in_proj_ba",
}


def is_modelslim(folder: Path) -> bool:
    """Whether a checkpoint was quantised by ModelSlim."""
    return (folder / DESCRIPTION).is_file()


def schemes(folder: Path) -> dict[str, int]:
    """Number of weights by scheme, `FLOAT` for those left as they were, most frequent first.

    Raises:
        CheckpointError: the description is missing or not JSON.
    """
    return dict(Counter(scheme_of_modules(folder).values()).most_common())


def scheme_of_modules(folder: Path) -> dict[str, str]:
    """The scheme of each module that has a weight, `FLOAT` where it is left as it was, by name.

    Raises:
        CheckpointError: the description is missing or not JSON.
    """
    return _weights(_describe(folder))


def modelslim_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Where the description and the stored tensors disagree, and what vLLM-Ascend would refuse or misread."""
    description = _describe(checkpoint.folder)
    weights = _weights(description)
    problems: dict[str, list[tuple[str, str]]] = {}
    for module, scheme in weights.items():
        for kind, problem in _module_problems(checkpoint, description, module, scheme):
            problems.setdefault(kind, []).append((module, problem))
    findings = [_told(found) for found in problems.values()]
    return [
        *findings,
        *_undescribed(checkpoint, weights),
        *_mixed(weights),
        *_unknown(weights),
        *_other_dtype(checkpoint),
    ]


def _describe(folder: Path) -> dict[str, Any]:
    return read_json(folder / DESCRIPTION, "ModelSlim writes it beside the weights")


def _weights(description: dict[str, Any]) -> dict[str, str]:
    """Scheme by name of the module."""
    return {
        name.removesuffix(".weight"): scheme
        for name, scheme in description.items()
        if name.endswith(".weight") and isinstance(scheme, str)
    }


def _told(problems: list[tuple[str, str]]) -> Finding:
    module, message = problems[0]
    more = f" ({len(problems) - 1} more such)" if len(problems) > 1 else ""
    return Finding("error", module, message + more)


def _module_problems(
    checkpoint: Checkpoint, description: dict[str, Any], module: str, scheme: str
) -> Iterator[tuple[str, str]]:
    """Kind and description of what is wrong with one module."""
    weight = checkpoint.tensors.get(f"{module}.weight")
    if scheme == _FLOAT:
        if weight is not None and weight.dtype == "I8":
            yield "int8 float", f"{DESCRIPTION} says FLOAT, but its weight is stored as I8: quantise the model again"
        return
    if scheme not in _PARTS:
        return
    if weight is None:
        yield "weight", f"{DESCRIPTION} says {scheme}, but no weight is stored: download the model again"
        return
    if weight.dtype != "I8" or len(weight.shape) != 2:
        yield "dtype", f"{DESCRIPTION} says {scheme}, but its weight is {weight.dtype} {list(weight.shape)}, not int8"
        return
    yield from _part_problems(checkpoint, module, scheme, _expected(description, scheme, weight))


def _expected(description: dict[str, Any], scheme: str, weight: Tensor) -> dict[str, set[tuple[int, ...]]]:
    """The shapes each tensor beside a weight may have."""
    outputs, inputs = weight.shape
    parts = dict(_PARTS[scheme])
    size = description.get("group_size", _GROUP_SIZE)
    if scheme == "W4A8_DYNAMIC":
        if description.get("version") == "1.0.0":
            outputs *= 2  # two codes a byte
            parts["scale_bias"] = "bias"
        if not size:
            del parts["weight_scale_second"]
    shapes: dict[str, set[tuple[int, ...]]] = {
        "one": {(1,), ()},
        "flat": {(outputs,)},
        "column": {(outputs, 1)},
        "groups": {(outputs, inputs // (size or 1))},
        "bias": {(outputs, 1), (outputs, 16)},
    }
    return {part: shapes[layout] for part, layout in parts.items()}


def _part_problems(
    checkpoint: Checkpoint, module: str, scheme: str, expected: dict[str, set[tuple[int, ...]]]
) -> Iterator[tuple[str, str]]:
    stored = {part: checkpoint.tensors.get(f"{module}.{part}") for part in expected}
    if missing := [part for part, tensor in stored.items() if tensor is None]:
        yield (
            "missing",
            f"{scheme} without {' and '.join(missing)}: vLLM-Ascend would compute with uninitialised memory; "
            "quantise the model again",
        )
    for part, tensor in stored.items():
        if tensor is not None and tensor.shape not in expected[part]:
            shapes = " or ".join(str(list(shape)) for shape in sorted(expected[part], reverse=True))
            yield part, f"{part} is {list(tensor.shape)}, {scheme} needs {shapes}: quantise the model again"
    bias = stored.get("quant_bias")
    if bias is not None and bias.dtype != "I32":
        yield "bias", f"quant_bias is {bias.dtype}, {scheme} needs I32: quantise the model again"


def _undescribed(checkpoint: Checkpoint, weights: dict[str, str]) -> list[Finding]:
    stack = find_stack(checkpoint)
    if stack is None:
        return []
    # Layers for multi-token prediction are numbered behind the model's own; ModelSlim leaves them out.
    own = checkpoint.text_config.get("num_hidden_layers", len(stack.layers))
    stored = [
        f"{stack.root}layers.{index}.{name.removesuffix('.weight')}"
        for index, layer in stack.layers.items()
        for name in layer
        if name.endswith("_proj.weight") and index < own
    ]
    found = [module for module in stored if module not in weights]
    if not found:
        return []
    message = f"{DESCRIPTION} does not name it, which vLLM-Ascend refuses: add its scheme, FLOAT if it is not quantised"
    return [Finding("error", some(found), message)]


def _mixed(weights: dict[str, str]) -> list[Finding]:
    fused: dict[str, set[str]] = {}
    for module, scheme in weights.items():
        layer, experts, _ = module.partition(".experts.")
        parent, _, name = module.rpartition(".")
        if experts:
            fused.setdefault(f"{layer}.experts", set()).add(scheme)
        elif name in _FUSED:
            fused.setdefault(f"{parent}.{_FUSED[name]}", set()).add(scheme)
    mixed = {name: found for name, found in fused.items() if len(found) > 1}
    if not mixed:
        return []
    listed = " and ".join(sorted(next(iter(mixed.values()))))
    message = f"computed as one layer, but its parts are {listed}, which vLLM-Ascend refuses: give them one scheme"
    return [Finding("error", some(mixed), message)]


def _unknown(weights: dict[str, str]) -> list[Finding]:
    found = {module: scheme for module, scheme in weights.items() if scheme not in {_FLOAT, *_PARTS, *_OTHER_SCHEMES}}
    if not found:
        return []
    message = f"scheme {next(iter(found.values()))!r} is unknown to vLLM-Ascend 0.23: it may refuse to load the model"
    return [Finding("warning", some(found), message)]


def _other_dtype(checkpoint: Checkpoint) -> list[Finding]:
    declared = checkpoint.text_config.get("dtype") or checkpoint.text_config.get("torch_dtype")
    for name, tensor in checkpoint.tensors.items():
        served = _SERVED_AS.get(tensor.dtype)
        if name.endswith(".deq_scale") and served and declared in _SERVED_AS.values() and declared != served:
            message = (
                f"stored as {tensor.dtype}, which vLLM-Ascend reads right in {served} only; config.json says "
                f"{declared}: serve it with dtype {served}"
            )
            return [Finding("warning", name, message)]
    return []
