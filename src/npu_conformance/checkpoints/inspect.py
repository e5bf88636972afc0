"""Inspection of a checkpoint folder from its config and its weights' headers; no weights are loaded."""

from dataclasses import replace
from pathlib import Path

from npu_conformance.checkpoints.adapters.config import FILE as ADAPTER
from npu_conformance.checkpoints.checkpoint import TOKENIZER_FILES, Checkpoint, Finding, some, weight_bytes
from npu_conformance.checkpoints.config_values import value_findings
from npu_conformance.checkpoints.content import pointers
from npu_conformance.checkpoints.contradictions import contradictions
from npu_conformance.checkpoints.fused_experts import fused_expert_findings
from npu_conformance.checkpoints.headers import read_json, repeated_keys, shown
from npu_conformance.checkpoints.layer_shapes import layer_shape_findings
from npu_conformance.checkpoints.layers import layer_findings
from npu_conformance.checkpoints.parts import part_findings
from npu_conformance.checkpoints.quantised.findings import quantisation_findings
from npu_conformance.checkpoints.shapes import corrections, shape_findings
from npu_conformance.checkpoints.small_files import small_file_findings
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.checkpoints.weight_files import read_weights
from npu_conformance.errors import CheckpointError

__all__ = ["Checkpoint", "Finding", "Tensor", "examine", "inspect", "weight_bytes"]

_CONFIG = "config.json"
_BELOW = (f"*/{_CONFIG}", f"snapshots/*/{_CONFIG}")
"""Where it is when a folder above it was named: a hub's cache has a folder a revision."""
_LEVELS = ("error", "suspicion", "warning", "note")


def inspect(folder: Path) -> Checkpoint:
    """Read a checkpoint's config and headers and hold them against each other.

    Returns:
        The checkpoint, with warnings and notes as its findings.

    Raises:
        CheckpointError: a file is missing, truncated or not what it should be, or config.json and the
            weights disagree; the first error in full and what else is wrong in brief.
    """
    checkpoint = examine(folder)
    errors = [finding for finding in checkpoint.findings if finding.level == "error"]
    if errors:
        others = f" (and {len(errors) - 1} more: {some([error.about for error in errors[1:]], 3)})"
        raise CheckpointError(f"{folder}: {errors[0]}" + (others if errors[1:] else ""))
    return checkpoint


def examine(folder: Path) -> Checkpoint:
    """The same, with errors among the findings.

    Raises:
        CheckpointError: config.json or the weights' headers cannot be read, so that there is nothing to examine.
    """
    config = read_json(folder / _CONFIG, _why_missing(folder))
    try:
        weights = read_weights(folder)
    except OSError as error:
        raise CheckpointError(f"{folder}: its weights cannot be read: {error}") from error
    checkpoint = Checkpoint(folder, config, weights.tensors)
    findings = [
        *(Finding("error", path.name, told) for path, told in pointers(folder)),
        *_repeated(folder),
        *_tokenizer(folder),
        *small_file_findings(checkpoint),
        *_adapter_inside(folder),
        *weights.findings,
    ]
    try:
        wrong_values = value_findings(config, corrections(checkpoint))
        findings += [*wrong_values, *shape_findings(checkpoint)] if value_findings(config) else _by_shapes(checkpoint)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{folder}: config.json and weights do not fit together ({error!r}): compare config.json with the "
            "published one, or download the model again"
        ) from error
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))
    return replace(checkpoint, findings=tuple(findings))


def _why_missing(folder: Path) -> str:
    """What a person may have meant by a folder without a config.json."""
    if folder.is_file():
        raise CheckpointError(f"{folder}: is a file, expected a checkpoint folder: name {folder.parent}")
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    below = sorted({path.parent for pattern in _BELOW for path in folder.glob(pattern)})
    return f"name the folder that has it: {some(map(str, below))}" if below else "the checkpoint folder needs it"


def _by_shapes(checkpoint: Checkpoint) -> list[Finding]:
    return [
        *part_findings(checkpoint),
        *shape_findings(checkpoint),
        *layer_shape_findings(checkpoint),
        *layer_findings(checkpoint),
        *fused_expert_findings(checkpoint),
        *contradictions(checkpoint),
        *quantisation_findings(checkpoint),
    ]


def _repeated(folder: Path) -> list[Finding]:
    twice = [shown(key) for key in repeated_keys(folder / _CONFIG)]
    told = f"{some(twice, 3)}: there twice; libraries take the last: remove the one that is not meant"
    return [Finding("warning", _CONFIG, told)] if twice else []


def _tokenizer(folder: Path) -> list[Finding]:
    if any(path.is_file() for name in TOKENIZER_FILES for path in folder.glob(name)):
        return []
    message = (
        f"no tokenizer here (looked for {', '.join(TOKENIZER_FILES)}): copy the tokenizer files of the original "
        "model beside the weights"
    )
    return [Finding("error", "tokenizer", message)]


def _adapter_inside(folder: Path) -> list[Finding]:
    """A LoRA in a model's own folder; some models of speech are published with theirs."""
    if not (folder / ADAPTER).is_file():
        return []
    message = (
        "a LoRA lies beside the weights; transformers adds it to the model where PEFT is installed, vLLM does not: if "
        "it is no part of the model, move it and its weights into a folder of their own"
    )
    return [Finding("warning", ADAPTER, message)]
