"""All saved runs of a folder, from their files alone: trends of each model, and what removing old runs frees."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import write_text
from npu_conformance.report.model import ModelReport, Report, load_report
from npu_conformance.report.renderers.html import page_name, rendered
from npu_conformance.report.sections.blocks import Chart, Line
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import value
from npu_conformance.report.words import LANGUAGES, Language, word

_TRENDS = {"error_over_floor": "c_ratio", "relative_l2_mean": "c_error"}
"""Metrics of which lines are drawn, with the words of their axes."""
_SHOWN = ("token_agreement", "cosine_mean", "relative_l2_mean", "kl_mean", "error_over_floor")


@dataclass(frozen=True)
class SavedRun:
    """A run's folder with its report."""

    folder: Path
    report: Report


def saved_runs(folder: Path) -> tuple[list[SavedRun], int]:
    """The runs of a folder of reports, oldest first, and how many folders have a report that cannot be read."""
    found, unread = [], 0
    for path in sorted(folder.glob("*/report.json")):
        if path.parent.is_symlink():
            continue  # `latest`
        try:
            found.append(SavedRun(path.parent, load_report(path.parent)))
        except TraceError:
            unread += 1
    return sorted(found, key=lambda run: (run.report.run.started, run.folder.name)), unread


def write_history(folder: Path) -> list[Path]:
    """Write `history.html` and `history.zh.html` beside the runs.

    Raises:
        TraceError: there is no run.
    """
    runs, unread = saved_runs(folder)
    if not runs:
        raise TraceError(f"{folder}: no saved run here; `pytest --twin` makes one")
    written = []
    for language in LANGUAGES:
        written.append(folder / page_name("history", language))
        write_text(written[-1], history_page(runs, unread, language))
    return written


def history_page(runs: list[SavedRun], unread: int, language: Language) -> str:
    """The page: a model a section, with its trends and a row a run."""
    names = sorted({model.name for run in runs for model in run.report.models})
    models = [(name, _charts(runs, name, language), _rows(runs, name, language)) for name in names]
    return rendered(
        "history.html.j2", language, "history", models=models, metrics=_SHOWN, unread=unread, count=len(runs)
    )


def prune(folder: Path, keep: int) -> tuple[list[Path], int]:
    """Remove all but the newest runs; never the one that `latest` leads to. Returns the folders, and bytes freed."""
    newest = (folder / "latest").resolve()
    runs, _ = saved_runs(folder)
    old = [run.folder for run in runs[: max(len(runs) - keep, 0)] if run.folder.resolve() != newest]
    freed = sum(state.st_size for path in old for state in _states(path) if state.st_nlink == 1)
    for path in old:
        shutil.rmtree(path)
    return old, freed


def _states(folder: Path) -> list[os.stat_result]:
    return [path.lstat() for path in folder.rglob("*") if not path.is_dir()]


def _of(runs: list[SavedRun], name: str) -> list[tuple[SavedRun, ModelReport]]:
    return [(run, model) for run in runs for model in run.report.models if model.name == name]


def _charts(runs: list[SavedRun], name: str, language: Language) -> list[Chart]:
    charts = []
    for metric, axis in _TRENDS.items():
        found = [View(run.report, model, language).find(metric) for run, model in _of(runs, name)]
        scale = 100 if axis == "c_error" else 1
        points = [(place, one) for place, one in enumerate(found) if one is not None and one.observed is not None]
        if len(points) < 2:
            continue
        x = tuple(float(place) for place, _ in points)
        lines = [Line("c_candidate", x, tuple(float(f"{scale * (one.observed or 0):.4g}") for _, one in points))]
        newest = points[-1][1]
        if newest.limit is not None:
            lines.append(Line("c_limit", x, (float(f"{scale * newest.limit:.4g}"),) * len(x), "limit"))
        words = View(runs[-1].report, runs[-1].report.models[0], language).metric(metric)
        alt = word(language, "alt_history").format(metric=words, model=name, newest=value(newest, "observed"))
        charts.append(Chart(f"{metric}-{name}", alt, "c_run", axis, tuple(lines)))
    return charts


def _rows(runs: list[SavedRun], name: str, language: Language) -> list[tuple[str, str, ModelReport, list[str]]]:
    """Link, time, model and figures of each run, newest first."""
    rows = []
    for run, model in reversed(_of(runs, name)):
        view = View(run.report, model, language)
        figures = [value(one, "observed") if (one := view.find(metric)) else "—" for metric in _SHOWN]
        page = run.folder / page_name(name, language)
        link = f"{run.folder.name}/{page.name}" if page.is_file() else ""
        rows.append((link, f"{run.report.run.started:%Y-%m-%d %H:%M}", model, figures))
    return rows
