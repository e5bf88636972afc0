"""Writes a report's files."""

import contextlib
import os
from pathlib import Path

from npu_conformance.machine.storage import write_text
from npu_conformance.report.markdown import render_markdown
from npu_conformance.report.model import Report
from npu_conformance.report.picture import draw, drawn


def write_report(report: Report, folder: Path) -> None:
    """Write `report.json`, both Markdown files and a picture a model; point `latest` beside the folder at it."""
    write_text(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    write_text(folder / "report.md", render_markdown(report, "en"))
    write_text(folder / "report.zh.md", render_markdown(report, "zh"))
    for model in report.models:
        if drawn(model):
            draw(model, folder / f"{model.name}.png")
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
