"""`npu-conformance doctor`: what is wrong with a checkpoint folder, and its config.json put right."""

from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.shapes import corrections
from npu_conformance.storage import staged_file, write_json


def doctor(folder: Path, fix_config: bool) -> int:
    """Print what inspection finds, one line each.

    Args:
        folder: a checkpoint.
        fix_config: first write the values that the weights' shapes have into its config.json.

    Returns:
        1 if there is an error, else 0.

    Raises:
        CheckpointError: config.json or the weights' headers cannot be read.
    """
    checkpoint = examine(folder)
    if fix_config:
        _fix_config(checkpoint)
        checkpoint = examine(folder)
    for finding in checkpoint.findings:
        print(f"{finding.level}: {finding}")
    if not checkpoint.findings:
        print(f"{folder}: nothing wrong in config.json and the headers of {len(checkpoint.files)} files")
    return int(any(finding.level == "error" for finding in checkpoint.findings))


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
