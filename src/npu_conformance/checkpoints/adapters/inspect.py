"""Inspection of an adapter's folder, alone or beside the model it was trained on; no engine is started."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.adapters.config import FILE, LoraConfig, parse_config, served_rank
from npu_conformance.checkpoints.adapters.fit import fit_findings, same_model
from npu_conformance.checkpoints.adapters.values import value_findings
from npu_conformance.checkpoints.adapters.weights import rank_findings, read_pairs, read_weights
from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.errors import CheckpointError

_LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder, and what was found wrong with it, errors first."""

    folder: Path
    config: LoraConfig | None
    """None where its values are wrong."""
    modules: int
    """How many modules it changes."""
    findings: tuple[Finding, ...]


def examine_adapter(
    folder: Path, base: Checkpoint | None = None, *, model: str | None = None, options: Mapping[str, Any] | None = None
) -> Adapter:
    """All that is found of an adapter.

    Args:
        folder: as PEFT writes it.
        base: the checkpoint it is to be served with; None where that is not at hand.
        model: the base model's hub id, as a model config has it.
        options: the engine's, which may set max_lora_rank and tensor_parallel_size.

    Raises:
        CheckpointError: its config is missing or not a JSON object, or its weights cannot be read.
    """
    config, findings = parse_config(folder)
    tensors = read_weights(folder)
    pairs, strange = read_pairs(tensors)
    findings += strange
    options = options or {}
    for file in sorted({tensor.file for tensor in tensors.values()}):
        findings += value_findings(file)
    if config is not None:
        findings += rank_findings(config, pairs)
        findings += _served(config, options)
        findings += _named(config, model)
    if base is not None and config is not None:
        rank, ranks = options.get("max_lora_rank"), options.get("tensor_parallel_size")
        rank = rank if isinstance(rank, int) else served_rank(config)
        findings += fit_findings(pairs, base, rank, ranks if isinstance(ranks, int) else 1)
    elif base is None:
        findings.append(Finding("note", "base model", "not at hand, so that modules and shapes were not checked"))
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))
    return Adapter(folder, config, len(pairs), tuple(findings))


def inspect_adapter(
    folder: Path, base: Checkpoint, model: str | None, options: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """The same for a run: the warnings and notes.

    Raises:
        CheckpointError: there is an error; the first in full and what else is wrong in brief.
    """
    findings = examine_adapter(folder, base, model=model, options=options).findings
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: {some([error.about for error in errors[1:]], 3)})" if errors[1:] else ""
        raise CheckpointError(f"{folder}: {errors[0]}{more}")
    return tuple(replace(finding, about=f"{folder.name}: {finding.about}") for finding in findings)


def _served(config: LoraConfig, options: Mapping[str, Any]) -> list[Finding]:
    asked, largest = options.get("max_lora_rank"), max(config.ranks)
    if not isinstance(asked, int) or asked >= largest:
        return []
    found = f"its largest rank is {largest}, the model config's max_lora_rank is {asked}, and vLLM refuses that"
    return [Finding("error", FILE, f"{found}: leave max_lora_rank out, and the suite sets {served_rank(config)}")]


def _named(config: LoraConfig, model: str | None) -> list[Finding]:
    base = config.base_model_name_or_path
    if not base or model is None or same_model([base, model]):
        return []
    told = f"base_model_name_or_path is {base[:200]!r}, the model config says {model}"
    return [Finding("note", FILE, f"{told}; see that the adapter was trained on that model")]
