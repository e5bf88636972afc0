"""One picture a model: the relative error of every judged position, with the limit it is judged by."""

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from npu_conformance.config.limits import FIGURES
from npu_conformance.config.variants import JUDGED
from npu_conformance.machine.storage import staged_file
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.words import LANGUAGES, Language

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIGURE = FIGURES["relative_l2_mean"]
_COLOURS = ("#2f6f9f", "#c8743a")
_MISMATCH = "#b3261e"
# A picture of more would be too high for any viewer.
_MOST = 24


def render(report: Report, folder: Path, _languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Draw `<Model>.png` of every model that has something to draw; one for all languages."""
    files = {folder / f"{model.name}.png": model for model in report.models if drawn(model)}
    for path, model in files.items():
        draw(model, path)
    return list(files)


def drawn(model: ModelReport) -> list[VariantDetails]:
    """The variants in a model's picture: those that choose their tokens, others where they fail; else all there are."""
    seen = [variant for variant in model.variants if variant.relative_l2]
    failed = {check.variant for check in model.checks if check.verdict == "fail"}
    return [variant for variant in seen if variant.variant in (*JUDGED, *failed)] or seen


def draw(model: ModelReport, path: Path) -> None:
    """Draw a model's variants one under another into a PNG.

    Args:
        model: with at least one variant to be drawn.
        path: where the picture goes, written whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    variants = drawn(model)[:_MOST]
    figure = Figure(figsize=(10, 0.8 + 2.4 * len(variants)), layout="constrained")
    FigureCanvasAgg(figure)
    limits = {
        check.variant: check.limit
        for check in model.checks
        if check.check == "logits_closeness" and check.metric == _FIGURE.name and math.isfinite(check.limit or 0)
    }
    for index, variant in enumerate(variants):
        axes = figure.add_subplot(len(variants), 1, index + 1)
        _draw_variant(axes, variant, limits.get(variant.variant))
    kind = " · twin: a trained stand-in, not the model" if model.subject == "twin" else ""
    title = f"{model.name}{kind}"
    figure.suptitle(f"{title}\nrelative L2 error of the logits against the float32 reference", fontsize=11)
    with staged_file(path) as stage:
        figure.savefig(stage, format="png", dpi=110, metadata={"Title": title})


def _draw_variant(axes: "Axes", variant: VariantDetails, limit: float | None) -> None:
    start = 0
    for index, (name, rows) in enumerate(groupby(variant.prompts, key=lambda row: row.prompt.split("/")[0])):
        count = sum(row.tokens for row in rows)
        values = [100 * value for value in variant.relative_l2[start : start + count]]
        axes.scatter(range(start, start + count), values, s=6, color=_COLOURS[index % 2], linewidths=0)
        axes.text(start + count / 2, 0.91, name, transform=axes.get_xaxis_transform(), ha="center", fontsize=8)
        start += count
    mismatches = list(_first_mismatches(variant))
    for position in mismatches:
        axes.axvline(position, color=_MISMATCH, linewidth=0.8, alpha=0.7)
    # Headroom for the sets' names above limit and dots.
    top = 120 * max([*filter(math.isfinite, variant.relative_l2), limit or 0])
    top = top if 0 < top < math.inf else 1
    axes.set_ylim(0, top)
    if limit is not None and 100 * limit < top:
        axes.axhline(100 * limit, color="#444444", linestyle="--", linewidth=0.9)
        axes.text(0, 100 * limit, f" limit of the mean, {100 * limit:g} %", va="bottom", fontsize=8, color="#444444")
    axes.set_xlim(-5, start + 5)
    axes.set_ylabel("%")
    note = f"red: first token mismatch of {len(mismatches)} prompts" if mismatches else "every token equal"
    axes.set_title(f"{variant.variant}: {start} positions, {note}", fontsize=9, loc="left")
    axes.set_xlabel("judged position, prompts one after another", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _first_mismatches(variant: VariantDetails) -> Iterator[int]:
    start = 0
    for row in variant.prompts:
        if row.first_divergence is not None:
            yield start + row.first_divergence
        start += row.tokens
