"""What is wrong with a checkpoint folder, and its config.json put right."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.checkpoint import Finding as CheckpointFinding
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.rope_forms import older_form
from npu_conformance.checkpoints.shapes import corrections
from npu_conformance.checkpoints.unchecked import unchecked
from npu_conformance.commands.doctor.findings import Area, Finding, Level
from npu_conformance.engines.tokenizer_file import why_unread
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.storage import staged_file, write_json
from npu_conformance.run.older_transformers import too_new

# A suspicion fails a check, while engines start.
_LEVELS: dict[str, Level] = {"error": "error", "suspicion": "warning", "warning": "warning", "note": "note"}
# A message ends with what to do, behind its last colon or semicolon, and with how many more there are of its kind. What
# begins with `it` says what comes of it.
_REMEDY = re.compile(r"(?P<found>.+)[:;] (?!it )(?P<remedy>.+?)(?P<more> \(\d+ more such\))?")
# Of an error, which may end otherwise.
_ACTION = re.compile(r"(?P<found>.+)[:;] (?P<remedy>(download|convert|copy|move|run|save|use) .+)")
_REPAIR = "correct config.json, or download or convert the model again"


def examined(folder: Path, fix_config: bool) -> Checkpoint:
    """A checkpoint with what inspection finds.

    Args:
        folder: a checkpoint.
        fix_config: first write the values that the weights' shapes have into its config.json, and say so.

    Raises:
        CheckpointError: config.json or the weights' headers cannot be read.
    """
    checkpoint = examine(folder)
    if fix_config:
        _fix_config(checkpoint)
        checkpoint = examine(folder)
    return with_findings(checkpoint, [too_new(checkpoint, None, "this interpreter's"), unread_tokenizer(checkpoint)])


def unread_tokenizer(checkpoint: Checkpoint) -> CheckpointFinding | None:
    """An error where tokenizer.json looks well, and the library that is installed cannot read it."""
    if any(finding.about == "tokenizer.json" and finding.level == "error" for finding in checkpoint.findings):
        return None
    told = why_unread(checkpoint.folder)
    return None if told is None else CheckpointFinding("error", "tokenizer.json", told)


def with_findings(checkpoint: Checkpoint, more: Iterable[CheckpointFinding | None]) -> Checkpoint:
    """A checkpoint with errors that its headers do not show, first."""
    found = tuple(finding for finding in more if finding is not None)
    return replace(checkpoint, findings=(*found, *checkpoint.findings))


def plain_lines(checkpoint: Checkpoint) -> list[str]:
    """What was found, a line each; one line where nothing is wrong; and what was not checked."""
    lines = [f"{finding.level}: {finding}" for finding in checkpoint.findings]
    files, left = len(checkpoint.files), unchecked(checkpoint)
    if not lines and left is None:
        return [f"{checkpoint.folder}: nothing wrong in config.json and the headers of {files} files"]
    if not lines:
        lines = [f"{checkpoint.folder}: config.json and the headers of {files} files agree as far as they were checked"]
    return lines if left is None else [*lines, left]


def checkpoint_area(checkpoint: Checkpoint, name: str = "checkpoint") -> Area:
    """The same beside other areas."""
    facts = {"folder": str(checkpoint.folder), "files": str(len(checkpoint.files))}
    if (left := unchecked(checkpoint)) is not None:
        heading, _, facts_left = left.partition(": ")
        facts[heading] = facts_left
    return Area(name, facts, tuple(map(area_finding, checkpoint.findings)))


def unreadable(error: CheckpointError) -> Finding:
    """Of a checkpoint that cannot be examined."""
    expected = "weights and a config.json that can be read"
    if parts := _ACTION.fullmatch(str(error)):
        return Finding("error", parts["found"], expected, parts["remedy"])
    return Finding("error", str(error), expected, "download the model again")


def area_finding(finding: CheckpointFinding, expected: str = "config.json and weights that agree") -> Finding:
    """A finding of inspection as one of an area."""
    if finding.level == "note":
        return Finding("note", str(finding), expected, "nothing, if it is meant so")
    level, parts = _LEVELS[finding.level], _REMEDY.fullmatch(finding.message)
    if parts is None:
        return Finding(level, str(finding), expected, _REPAIR)
    remedy = f"find out: {parts['remedy']}" if parts["remedy"].endswith("?") else parts["remedy"]
    return Finding(level, f"{finding.about}: {parts['found']}{parts['more'] or ''}", expected, remedy)


def _fix_config(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / "config.json"
    wrong, lacking = corrections(checkpoint), older_form(checkpoint.text_config)
    if not wrong and not lacking:
        print(f"{path}: nothing to fix, the weights' shapes contradict none of its values")
        return
    content = read_json(path, "the checkpoint folder needs it")
    part = content["text_config"] if isinstance(content.get("text_config"), dict) else content
    for key, (told, found) in wrong.items():
        part[key] = found
        print(f"{path}: {key}: {told} -> {found}")
    for key, value in (lacking or {}).items():
        part[key] = value
        print(f"{path}: {key}: not there -> {json.dumps(value)}, as under rope_parameters, for transformers before 5")
    _fix_layer_types(path, part)
    backup = _backup(path)
    write_json(path, content)
    print(f"{path}: written; the old one is {backup.name}")


def _fix_layer_types(path: Path, part: dict[str, Any]) -> None:
    """Layers that are not there have no kind."""
    kinds, count = part.get("layer_types"), part.get("num_hidden_layers")
    if isinstance(kinds, list) and isinstance(count, int) and len(kinds) > count:
        part["layer_types"] = kinds[:count]
        print(f"{path}: layer_types: {len(kinds)} -> {count}")


def _backup(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.bak{number or ''}") for number in range(1000))
    backup = next(name for name in names if not name.exists())
    with staged_file(backup) as file:
        file.write(path.read_bytes())
    return backup
