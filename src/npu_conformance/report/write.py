"""Writes a report's files and says in a few lines what is in them."""

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


def summary_lines(report: Report, folder: Path) -> list[str]:
    """A line a model, then how many engines it took and where the report is."""
    lines = []
    for model in report.models:
        positions = max((variant.positions for variant in model.variants), default=0)
        counts = dict.fromkeys(("pass", "fail", "error", "inconclusive"), 0)
        for check in model.checks:
            if check.verdict in counts:
                counts[check.verdict] += 1
        tally = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing judged"
        kind = " (twin, not the model)" if model.subject == "twin" else ""
        partial = f" · partial: {len(model.not_judged)} properties not selected" if model.not_judged else ""
        lines.append(
            f"{model.name}{kind}: {model.verdict.upper()} · {tally} · {positions} positions a variant{partial}"
        )
    return [*lines, f"engines started: {report.run.engine_starts}", f"report: {folder / 'report.md'}"]


def _point_latest(folder: Path) -> None:
    temporary = folder.parent / f".latest.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(folder.name)
    try:
        temporary.replace(folder.parent / "latest")
    except OSError:  # a folder that somebody copied there: the report is written, only its short name is not
        temporary.unlink()
