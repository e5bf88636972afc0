"""What is wrong with a checkpoint folder, and its config.json put right."""

from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.checkpoint import Finding as CheckpointFinding
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.shapes import corrections
from npu_conformance.doctor.findings import LEVEL_OF, Area, Finding
from npu_conformance.storage import staged_file, write_json


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
    return checkpoint


def plain_lines(checkpoint: Checkpoint) -> list[str]:
    """What was found, a line each; one line where nothing is wrong."""
    lines = [f"{finding.level}: {finding}" for finding in checkpoint.findings]
    files = len(checkpoint.files)
    return lines or [f"{checkpoint.folder}: nothing wrong in config.json and the headers of {files} files"]


def checkpoint_area(checkpoint: Checkpoint, name: str = "checkpoint") -> Area:
    """The same beside other areas."""
    facts = {"folder": str(checkpoint.folder), "files": str(len(checkpoint.files))}
    mends = bool(corrections(checkpoint))
    return Area(name, facts, tuple(_finding(finding, checkpoint, mends) for finding in checkpoint.findings))


def _finding(finding: CheckpointFinding, checkpoint: Checkpoint, mends: bool) -> Finding:
    level = LEVEL_OF[finding.level]
    remedy = "as the message says" if level != "note" else "nothing, if it is meant so"
    if level == "error" and finding.about == "config.json" and mends:
        remedy = f"`npu-conformance doctor --fix-config {checkpoint.folder}` writes what the weights' shapes say"
    return Finding(level, str(finding), "config.json and weights that agree", remedy)


def _fix_config(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / "config.json"
    wrong = corrections(checkpoint)
    if not wrong:
        print(f"{path}: nothing to fix, the weights' shapes contradict none of its values")
        return
    content = read_json(path, "the checkpoint folder needs it")
    part = content["text_config"] if isinstance(content.get("text_config"), dict) else content
    for key, (declared, found) in wrong.items():
        part[key] = found
        print(f"{path}: {key}: {declared} -> {found}")
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
