"""What upload-artifact and download-artifact make of folders, as far as the workflows use them.

By the sources of upload-artifact (`src/shared/search.ts`) and of download-artifact from version 5 on
(`src/download-artifact.ts`; actions/download-artifact#419 on a pattern that fits one artifact).
"""

import os
import shutil
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from tests.unit.helpers.workflow_steps import Step, steps


def upload(step: Step, checkout: Path, to: Path, model: str) -> None:
    """Put a model's artifact into a folder of its name.

    Args:
        step: that uploads.
        checkout: where its paths begin.
        to: where artifacts are kept.
        model: for `matrix.model` in its options.

    Raises:
        ValueError: there is no such file, and the step minds.
    """
    name, paths = (step.options[key].replace("${{ matrix.model }}", model) for key in ("name", "path"))
    wanted = [line for line in paths.split() if not line.startswith("!")]
    left_out = [line[1:] for line in paths.split() if line.startswith("!")]
    root = checkout / _root(wanted)
    found = [path for pattern in wanted for top in checkout.glob(pattern.rstrip("/")) for path in _files(top)]
    kept = [path for path in found if not any(fnmatch(str(path.relative_to(checkout)), one) for one in left_out)]
    if not kept and step.options["if-no-files-found"] == "error":
        raise ValueError(f"{name}: no files were found with the provided path")
    for path in kept:
        place = to / name / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def download(step: Step, artifacts: Path, to: Path) -> None:
    """Extract the artifacts that a step asks for: without any it is content.

    Args:
        step: that downloads by a pattern.
        artifacts: where they are kept.
        to: the folder that its `path` means.
    """
    found = [path for path in sorted(artifacts.glob("*")) if fnmatch(path.name, step.options["pattern"])]
    flat = len(found) == 1 or step.options.get("merge-multiple") == "true"
    for path in found:
        shutil.copytree(path, to if flat else to / path.name, dirs_exist_ok=True)


def downloading(workflow: dict[str, Any], job: str) -> Step:
    """The step of a job that downloads."""
    (step,) = [step for step in steps(workflow, job) if step.uses.startswith("actions/download-artifact@")]
    return step


def _files(top: Path) -> list[Path]:
    """The files of a folder, or this file."""
    return [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else [top]


def _root(patterns: list[str]) -> str:
    """Where an artifact begins: the folder that all patterns share, each as far as its first wildcard."""
    literal = []
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        end = next((at for at, part in enumerate(parts) if "*" in part), len(parts))
        literal.append(str(PurePosixPath(*parts[:end])))
    return os.path.commonpath(literal)
