"""Modules that the options leave as they are, against what is stored: vLLM goes by the list, not by the dtype."""

import re
from collections.abc import Iterable, Iterator

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.quantisation.schema import CompressedOptions, Fp8Options, Options
from npu_conformance.checkpoints.quantised.naming import Names, UnreadablePatternError, matches, named_by
from npu_conformance.checkpoints.stack import find_stack
from npu_conformance.checkpoints.tensor import Tensor

_FLOATS = ("F32", "F16", "BF16")
_PACKED = ("qweight", "weight_packed")
# Linear layers that vLLM quantises in every model; of others only the model's code says so.
_LINEAR = re.compile(r"self_attn\.[qkvo]_proj|mlp\.(experts\.N\.)?(gate|up|down)_proj")
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?=\.)")
# A head that is tied is named in most lists, and stored in no checkpoint.
_HEAD = re.compile(r".*lm_head\W*")
_FUSED = dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj") | dict.fromkeys(
    ("gate_proj", "up_proj"), "gate_up_proj"
)
_EXPERT = re.compile(r"\.experts\.[0-9]+\.")


def ignored_findings(checkpoint: Checkpoint, options: Options) -> list[Finding]:
    """Where the list and the stored dtypes disagree, and entries without effect."""
    names = named_by(options)
    if names is None:
        return []
    try:
        findings = [*_listed(checkpoint, names), *_unlisted(checkpoint, options, names)]
        return [*findings, *_without_effect(checkpoint, options)]
    except UnreadablePatternError as error:
        return [Finding("error", "config.json", f"a name of modules is wrong: {error}; correct it")]


def _listed(checkpoint: Checkpoint, names: Names) -> list[Finding]:
    codes = (name.rpartition(".")[0] for name, tensor in checkpoint.tensors.items() if _is_codes(name, tensor))
    found = [module for module in _one_expert(codes) if names(module)]
    if not found:
        return []
    message = (
        "is stored quantised, but the config lists it as not quantised: vLLM would take its codes for weights; take it "
        "off the list"
    )
    return [Finding("suspicion", some(found), message)]


def _unlisted(checkpoint: Checkpoint, options: Options, names: Names) -> list[Finding]:
    stack = find_stack(checkpoint)
    if stack is None:
        return []
    own = checkpoint.text_config.get("num_hidden_layers")
    layers = {index: layer for index, layer in stack.layers.items() if not isinstance(own, int) or index < own}
    kinds = {_kind(name) for layer in layers.values() for name, tensor in layer.items() if _is_codes(name, tensor)}
    plain = (
        f"{stack.root}layers.{index}.{name.removesuffix('.weight')}"
        for index, layer in layers.items()
        for name, tensor in layer.items()
        if name.endswith(".weight") and tensor.dtype in _FLOATS and len(tensor.shape) == 2
        if _kind(name) in kinds or _LINEAR.fullmatch(_kind(name))
    )
    found = [module for module in _one_expert(plain) if not any(map(names, (module, _fused(module))))]
    found = [module for module in found if _is_target(options, module)]
    if not found:
        return []
    near = next((entry for entry in options.ignored if found[0].endswith(f".{entry}")), None)
    hint = f" (the list has {near}, which is not its whole name)" if near else ""
    message = (
        f"is stored unquantised, but the config does not list it{hint}: vLLM would read its weights as codes without a "
        "scale; list it by its whole name, as it is stored"
    )
    return [Finding("suspicion", some(found), message)]


def _is_target(options: Options, module: str) -> bool:
    if not isinstance(options, CompressedOptions):
        return True
    groups = [group for group in options.config_groups.values() if group.weights is not None]
    return any("Linear" in group.targets or matches(group.targets, module) for group in groups)


def _without_effect(checkpoint: Checkpoint, options: Options) -> list[Finding]:
    stored = set(_with_parents(checkpoint))
    stored |= set(map(_fused, stored))
    idle = [entry for entry in options.ignored if not _HEAD.fullmatch(entry) and entry not in stored]
    if not isinstance(options, Fp8Options):
        modules = list(_one_expert(stored))
        idle = [entry for entry in idle if not any(map(named_by(options.listing(entry)) or bool, modules))]
    if not idle:
        return []
    message = "is listed as not quantised, and no stored module has this name, so that it has no effect"
    return [Finding("note", some(idle), message)]


def _one_expert(modules: Iterable[str]) -> dict[str, None]:
    """Modules with the first of their layer's routed experts for all of them."""
    return dict.fromkeys(_EXPERT.sub(".experts.0.", module) for module in modules)


def _fused(module: str) -> str:
    """The name under which vLLM computes a module with its like, which lists may have as well."""
    parent, _, name = module.rpartition(".")
    return f"{parent}.{_FUSED.get(name, name)}"


def _with_parents(checkpoint: Checkpoint) -> Iterator[str]:
    for name in checkpoint.tensors:
        module = name.rpartition(".")[0]
        while module:
            yield module
            module = module.rpartition(".")[0]


def _is_codes(name: str, tensor: Tensor) -> bool:
    part = name.rpartition(".")[2]
    return part in _PACKED or (part == "weight" and tensor.dtype not in _FLOATS and len(tensor.shape) > 1)


def _kind(name: str) -> str:
    """A module inside a layer, whatever its expert."""
    return _NUMBER.sub("N", name.rpartition(".")[0])
