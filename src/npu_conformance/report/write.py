"""Writes a report: `report.json` first, of which all other files are made."""

import contextlib
import os
from pathlib import Path

from npu_conformance.machine.storage import write_text
from npu_conformance.report.model import Report
from npu_conformance.report.renderers import render


def write_report(report: Report, folder: Path) -> None:
    """Write `report.json` and what it is rendered into; point `latest` beside the folder at it."""
    write_text(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    render(report, folder)
    _point_latest(folder)


def _point_latest(folder: Path) -> None:
    temporary = folder.parent / f".latest.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(folder.name)
    try:
        temporary.replace(folder.parent / "latest")
    except OSError:  # a folder that somebody copied there: the report is written, only its short name is not
        temporary.unlink()
