"""Writes a report: `report.json` first, of which all other files are made."""

import contextlib
import os
from pathlib import Path

from npu_conformance.errors import printable
from npu_conformance.machine.storage import write_text
from npu_conformance.report.cards.graded import graded
from npu_conformance.report.model import Report
from npu_conformance.report.renderers import render
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import LANGUAGES, Language


def write_report(report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> None:
    """Write `report.json` and what it is rendered into, in these languages; point `latest` beside the folder at it."""
    write_text(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    render(report, folder, languages)
    _point_latest(folder)


def write_graded(report: Report, folder: Path) -> list[Path]:
    """Write `<Model>.graded.md` of every model: the section that a contest's grader reads."""
    files = {folder / f"{model.name}.graded.md": View(report, model, "zh") for model in report.models}
    for path, view in files.items():
        write_text(path, printable("\n".join(graded(view))))
    return list(files)


def _point_latest(folder: Path) -> None:
    temporary = folder.parent / f".latest.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(folder.name)
    try:
        temporary.replace(folder.parent / "latest")
    except OSError:  # a folder that somebody copied there: the report is written, only its short name is not
        temporary.unlink()
