"""An adapter's modules held against those of its base model: names, shapes, and sizes under tensor parallelism."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from npu_conformance.checkpoints.adapters.weights import PREFIX, Pair
from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.headers import shown

# Modules of a language model are named from their layer on alike wherever it is nested.
_LAYER = re.compile(r"(?:^|\.)((?:layers|h|blocks)\.\d{1,6}\..+)")
_INDEX = re.compile(r"\.\d{1,6}\.")
# vLLM and transformers know both for the same place: checkpoints of before transformers 4.52 have the second.
_NESTED = ("model.language_model.", "language_model.model.")
_TOWER = re.compile(r"(?:^|[._])(?:vision|visual|vit|audio|image|mm|tower|projector|merger|connector)(?:[._]|$)")
_ASIDE = re.compile(rf"{_TOWER.pattern}|(?:^|\.)mtp(?:\.|$)")
# Names by which a checkpoint is known to call its linear layers as transformers does.
_USUAL = ("q_proj", "o_proj", "down_proj", "qkv_proj", "query_key_value", "c_attn", "wqkv", "W_pack", "out_proj")
# transformers 5 calls what stands around a layer's experts otherwise than older checkpoints do.
_ROUTERS = ("gate", "router", "wg", "shared_expert_gate")
_PLAIN_DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3")
# Layers whose input is what tensor parallelism splits, so that each rank has all outputs.
_SPLIT_BY_INPUT = ("o_proj", "down_proj", "out_proj", "c_proj", "dense_4h_to_h", "w2", "wo")
_ASCEND = "vllm-ascend's kernels then end in `hidden in should be smaller than hidden out`"
_UNKNOWN: dict[str, tuple[Literal["error", "warning", "note"], str]] = {
    "layer": ("error", "the base model has fewer layers: is it the adapter of a larger model?"),
    "none": ("error", "the base model has no such module: is it another model's adapter?"),
    "tower": (
        "warning",
        "vLLM leaves out LoRAs of towers and connectors: set enable_tower_connector_lora under serve.engine_args",
    ),
    "experts": ("note", "not recognised: LoRAs of experts and routers; names and shapes not checked"),
    "other names": ("note", "not recognised: how the base model names its modules; names and shapes not checked"),
}


@dataclass
class _Modules:
    """The base model's modules that may have a LoRA."""

    shapes: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    """Outputs and inputs by name; None where the stored shape does not tell them."""
    places: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """What stands in front of the names, by the name from the layer on."""

    @cached_property
    def beside_a_tower(self) -> bool:
        """Whether a language model that is not nested lies beside a tower, as in checkpoints of before 4.52."""
        return any(name.startswith(("visual.", "vision_tower.")) for name in self.shapes)

    @cached_property
    def usual(self) -> bool:
        """Whether the checkpoint is named as transformers names its modules."""
        return any(name.rpartition(".")[2] in _USUAL for name in self.shapes)


def fit_findings(pairs: dict[str, Pair], base: Checkpoint, rank: int, ranks: int) -> Iterator[Finding]:
    """What of an adapter does not fit its base model.

    Args:
        pairs: its matrices by module.
        base: the checkpoint it was trained on.
        rank: the rank that vLLM runs it in.
        ranks: the engine's tensor_parallel_size.
    """
    modules = _modules(base)
    renames: dict[tuple[str, str], list[str]] = defaultdict(list)
    kinds: dict[str, list[str]] = defaultdict(list)
    fitting: dict[str, str] = {}
    for module in pairs:
        name = _known(module, modules)
        if name is not None:
            fitting[module] = name
        elif (rename := _rename(module, modules)) is not None:
            renames[rename].append(module)
        else:
            kinds[_kind(module, modules)].append(module)
    yield from _renames(renames)
    yield from _unknown(kinds)
    yield from _shapes(pairs, fitting, modules)
    yield from _narrow(pairs, fitting, base, rank, ranks)


def _modules(base: Checkpoint) -> _Modules:
    found = _Modules()
    for name, tensor in base.tensors.items():
        module, _, kind = name.rpartition(".")
        if not module or kind not in ("weight", "qweight", "weight_packed", "weight_scale", "weight_blocks"):
            continue
        if kind == "weight" and len(tensor.shape) == 2 and tensor.dtype in _PLAIN_DTYPES:
            found.shapes[module] = (tensor.shape[0], tensor.shape[1])
        else:
            found.shapes.setdefault(module, None)
        prefix, tail = _split(module)
        found.places[tail].add(prefix)
    embedding = next((name for name in found.shapes if name.endswith("embed_tokens")), None)
    if embedding is not None and "lm_head" not in found.places:  # a tied head is not stored
        found.shapes["lm_head"] = found.shapes[embedding]
        found.places["lm_head"].add("")
    return found


def _split(module: str) -> tuple[str, str]:
    """A name's part in front of its layer, and the rest."""
    match = _LAYER.search(module)
    start = match.start(1) if match else module.rfind(".") + 1
    return module[:start], module[start:]


def _known(module: str, modules: _Modules) -> str | None:
    """The base model's name of a module that the engine finds; None of one that it does not."""
    if module in modules.shapes:
        return module
    prefix, tail = _split(module)
    for place in modules.places.get(tail, ()):
        if f"{place}{tail}" in modules.shapes and _same_place(prefix, place, tail, modules):
            return f"{place}{tail}"
    return None


def _same_place(prefix: str, place: str, tail: str, modules: _Modules) -> bool:
    if tail == "lm_head" or (prefix in _NESTED and place in _NESTED):
        return True
    return modules.beside_a_tower and prefix in _NESTED and place == "model."


def _rename(module: str, modules: _Modules) -> tuple[str, str] | None:
    """The prefix that a module has and the one it should have; None where no other prefix makes it known."""
    prefix, tail = _split(module)
    # Towers and draft layers have layers of the same names.
    places = [place for place in modules.places.get(tail, ()) if not _ASIDE.search(place)]
    return (prefix, min(places)) if places and not _TOWER.search(prefix) else None


def _kind(module: str, modules: _Modules) -> str:
    """Why a module is not known."""
    if _TOWER.search(module):
        return "tower"
    if ".experts" in module or module.rpartition(".")[2] in _ROUTERS:
        return "experts"
    if not modules.usual:
        return "other names"
    alike = _INDEX.sub(".0.", _split(module)[1], count=1)
    return "layer" if alike in modules.places else "none"


def _renames(renames: dict[tuple[str, str], list[str]]) -> Iterator[Finding]:
    for (found, expected), names in renames.items():
        yield Finding(
            "error",
            some(map(shown, names)),
            f"the base model has this module under {shown(expected)!r}, not {shown(found)!r}, and vLLM leaves the "
            f"LoRA out without a word: rename the adapter's tensors from {PREFIX}{shown(found)} to "
            f"{PREFIX}{shown(expected)}, which fits",
        )


def _unknown(kinds: dict[str, list[str]]) -> Iterator[Finding]:
    for kind, names in kinds.items():
        level, message = _UNKNOWN[kind]
        yield Finding(level, some(map(shown, names)), message)


def _shapes(pairs: dict[str, Pair], fitting: dict[str, str], modules: _Modules) -> Iterator[Finding]:
    wrong, unchecked = [], []
    for module, name in fitting.items():
        shape, pair = modules.shapes[name], pairs[module]
        found = (pair.b.shape[0], pair.a.shape[1])
        if shape is None or len(shape) != 2:
            unchecked.append(module)
        # An embedding is stored as words x width, and GPT-2's layers as inputs x outputs.
        elif found != (
            shape[::-1] if pair.embedding or name.rpartition(".")[2] in ("c_attn", "c_fc", "c_proj") else shape
        ):
            wrong.append(
                f"{shown(module)} maps {found[1]} inputs to {found[0]} outputs, the base model's {list(shape)[::-1]}"
            )
    if wrong:
        yield Finding("error", "adapter and base model", f"{some(wrong)}: is it another model's adapter?")
    if unchecked:
        yield Finding(
            "note", some(map(shown, unchecked)), "not recognised: how the base model stores it; shapes not checked"
        )


def _narrow(
    pairs: dict[str, Pair], fitting: dict[str, str], base: Checkpoint, rank: int, ranks: int
) -> Iterator[Finding]:
    """Modules that are narrower than the rank, which the kernels of vllm-ascend refuse."""
    head = base.text_config.get("head_dim")
    narrow = {}
    for module in fitting:
        outputs, inputs = pairs[module].b.shape[0], pairs[module].a.shape[1]
        leaf = module.rpartition(".")[2]
        if leaf in _SPLIT_BY_INPUT:
            inputs //= ranks
        else:
            least = head if leaf in ("k_proj", "v_proj") and isinstance(head, int) else 1
            outputs = max(outputs // ranks, min(outputs, least))
        # csrc/torch_binding.cpp: bgmv_shrink wants inputs > rank, bgmv_expand rank <= outputs.
        if outputs < rank or inputs <= rank:
            narrow[module] = min(outputs, inputs)
    if narrow:
        least = min(narrow.values())
        each = f" on each of {ranks} devices" if ranks > 1 else ""
        yield Finding(
            "warning",
            some([shown(module) for module, size in narrow.items() if size == least]),
            f"it is {least} wide{each}, less than the rank {rank} that vLLM runs the adapter in; {_ASCEND}: on an NPU "
            "leave the module out of target_modules, or train with a smaller rank",
        )


def same_model(named: Sequence[str]) -> bool:
    """Whether names of a model, hub ids or folders, are of one model as far as their last parts tell."""
    return len({name.rstrip("/").rpartition("/")[2].casefold() for name in named}) == 1
