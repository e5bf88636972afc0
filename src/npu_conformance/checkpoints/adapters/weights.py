"""The weights of an adapter by their headers: a matrix A and a matrix B for each module that it changes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.checkpoints.adapters.config import FILE, LoraConfig
from npu_conformance.checkpoints.checkpoint import Finding, some
from npu_conformance.checkpoints.headers import read_header, shown
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.errors import CheckpointError

# In the order in which vLLM and PEFT look for them.
_FILES = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
PREFIX = "base_model.model."
_NAME = re.compile(r"(?P<module>.+)\.lora_(?:(?P<side>[AB])\.weight|embedding_(?P<embedding>[AB]))", re.DOTALL)
# PEFT writes these beside the matrices of an embedding; vLLM passes over them.
_BASE_LAYERS = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
# A key of rank_pattern is a regular expression; of a plain name it is known at once what it matches.
_PLAIN = re.compile(r"\^?[\w.]+\$?")
_AGAIN = "save the adapter again by PEFT's save_pretrained"


@dataclass(frozen=True)
class Pair:
    """The two matrices of a module."""

    a: Tensor
    """Of shape [rank, inputs]; of an embedding [rank, words]."""
    b: Tensor
    """Of shape [outputs, rank]."""
    embedding: bool = False

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.a.shape[0]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of an adapter's folder by name, from the file that engines take.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    file = next((folder / name for name in _FILES if (folder / name).exists()), None)
    if file is None:
        raise CheckpointError(f"{folder}: no weights here ({' or '.join(_FILES[:2])}): {_AGAIN}")
    if file.suffix == ".safetensors":
        return read_header(file)
    # It reads a zip archive's directory, which may be anywhere in it.
    if not file.is_file():
        raise CheckpointError(f"{file}: no regular file: {_AGAIN}")
    from npu_conformance.checkpoints.pickled import read_pickled_header

    return read_pickled_header(file)


def read_pairs(tensors: dict[str, Tensor]) -> tuple[dict[str, Pair], list[Finding]]:
    """The matrices by module, as PEFT names modules; and what is wrong with what else is there."""
    halves: dict[str, dict[str, Tensor]] = {}
    embeddings, strange = set(), []
    for name, tensor in tensors.items():
        if (match := _NAME.fullmatch(name)) is None:
            strange += [] if name.endswith(_BASE_LAYERS) else [name]
            continue
        module = match["module"].removeprefix(PREFIX)
        halves.setdefault(module, {})[match["side"] or match["embedding"]] = tensor
        embeddings |= {module} if match["embedding"] else set()
    broken = [module for module, sides in halves.items() if not _fits(sides)]
    pairs = {
        module: Pair(sides["A"], sides["B"], module in embeddings)
        for module, sides in halves.items()
        if module not in broken
    }
    findings = [*_strange(strange), *_broken(broken, halves), *_unprefixed(tensors, strange)]
    if not halves and not strange:
        findings.append(Finding("error", _file(tensors), f"it holds no LoRA; engines serve the base model: {_AGAIN}"))
    return pairs, findings


def rank_findings(config: LoraConfig, pairs: dict[str, Pair]) -> Iterator[Finding]:
    """What config and headers contradict each other in."""
    wrong = [
        f"{shown(module)} has rank {pair.rank}"
        for module, pair in pairs.items()
        if not _stacked(module) and pair.rank not in _ranks(config, module)
    ]
    if wrong:
        ranks = " or ".join(map(str, sorted(config.ranks)))
        yield Finding("error", FILE, f"{some(wrong)}, by r and rank_pattern it is {ranks}: {_AGAIN}")
    yield from _targets(config, pairs)


def _targets(config: LoraConfig, pairs: dict[str, Pair]) -> Iterator[Finding]:
    """Of target_modules as a list; a string is a regular expression, or stands for all linear layers."""
    names = config.target_modules
    if not isinstance(names, list) or config.target_parameters:
        return
    parts = {module: set(_suffixes(module)) for module in pairs}
    known = set().union(*parts.values())
    if idle := [name for name in names if name not in known]:
        yield Finding(
            "error" if len(idle) == len(names) else "warning",
            FILE,
            f"target_modules names {some(map(repr, idle), 3)[:200]}, of which the adapter has no weights: see whether "
            "the base model has modules of these names",
        )
    untold = [module for module, suffixes in parts.items() if suffixes.isdisjoint(names)]
    if untold:
        yield Finding(
            "error",
            FILE,
            f"the adapter has weights of {some(map(shown, untold))}, which target_modules does not name; PEFT leaves "
            "them out and vLLM applies them: add the names to target_modules",
        )


def _suffixes(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def _ranks(config: LoraConfig, module: str) -> set[int]:
    """The ranks that a module may have."""
    suffixes = set(_suffixes(module))
    for key, rank in (config.rank_pattern or {}).items():
        if _PLAIN.fullmatch(key) is None:
            return config.ranks
        if key.strip("^$") in suffixes:
            return {rank}
    return {config.r}


def _stacked(module: str) -> bool:
    """Whether the matrices are those of all experts, one below the other."""
    return module.removesuffix(".base_layer").endswith(".experts")


def _fits(sides: dict[str, Tensor]) -> bool:
    if set(sides) != {"A", "B"}:
        return False
    a, b = sides["A"], sides["B"]
    shaped = len(a.shape) == len(b.shape) == 2 and a.shape[0] == b.shape[1] and a.size > 0 and b.size > 0
    return shaped and a.dtype in _FLOATS and b.dtype in _FLOATS


def _broken(modules: Sequence[str], halves: dict[str, dict[str, Tensor]]) -> Iterator[Finding]:
    if not modules:
        return
    module, sides = modules[0], halves[modules[0]]
    shapes = [f"{side} {list(tensor.shape)} of {tensor.dtype}" for side, tensor in sorted(sides.items())]
    more = f" ({len(modules) - 1} more such)" if modules[1:] else ""
    yield Finding(
        "error",
        next(iter(sides.values())).file.name,
        f"{shown(module)} has {' and '.join(shapes)}, expected A of [rank, inputs] and B of [outputs, rank], floating "
        f"point: {_AGAIN}{more}",
    )


def _strange(names: Sequence[str]) -> Iterator[Finding]:
    """Weights that are of no plain LoRA; vLLM refuses the adapter for one of them."""
    kinds = {
        "is saved under an adapter's name, which vLLM and PEFT do not read": (
            [name for name in names if re.search(r"\.lora_[AB]\.\w{1,99}\.weight$", name)],
            f"{_AGAIN}, or take the adapter's name out of the tensors'",
        ),
        "is part of DoRA, which vLLM does not serve": (
            [name for name in names if "lora_magnitude_vector" in name],
            "merge the adapter into its base model (PEFT's merge_and_unload) and serve that",
        ),
    }
    told = {name for found, _ in kinds.values() for name in found}
    kinds["is no weight of a LoRA, and vLLM refuses it"] = (
        [name for name in names if name not in told],
        "merge the adapter into its base model (PEFT's merge_and_unload) and serve that",
    )
    for what, (found, remedy) in kinds.items():
        if found:
            more = f" ({len(found) - 1} more such)" if found[1:] else ""
            yield Finding("error", shown(found[0]), f"it {what}: {remedy}{more}")


def _unprefixed(tensors: dict[str, Tensor], strange: Sequence[str]) -> Iterator[Finding]:
    bare = [name for name in tensors if not name.startswith(PREFIX) and name not in set(strange)]
    if bare:
        yield Finding(
            "error",
            some(map(shown, bare)),
            f"its name does not begin with {PREFIX}, so that PEFT, which loads the reference, leaves it out: put "
            f"{PREFIX} before the names",
        )


def _file(tensors: dict[str, Tensor]) -> str:
    return next((tensor.file.name for tensor in tensors.values()), _FILES[0])
