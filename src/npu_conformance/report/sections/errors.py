"""Where the error is: over an answer's positions, by prompt and set, and how it is spread beside the floor's."""

import math
from dataclasses import replace
from itertools import accumulate
from statistics import fmean

import numpy as np

from npu_conformance.measure.deviations import Values
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.prompt_rows import PromptRow
from npu_conformance.report.sections.blocks import Block, Cell, Chart, Fold, Line, Mark, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import percent

# Steps of an answer that fewer answers than this reach say nothing of an average one.
_ANSWERS = 3
_BINS = 28
_MOST = 80


def section(view: View) -> Section | None:
    """None where no logits were compared; nothing is drawn of errors that are not finite."""
    base, own = view.base, [one for one in view.model.variants if one.prompts and not one.against_base]
    blocks: list[Block] = []
    if base is not None and base.relative_l2 and all(map(math.isfinite, base.relative_l2)):
        blocks += [*_by_position(view, base), _spread(view, base), *_by_prompt(view, base)]
    for one in own:
        caption = view.t("per_prompt") if one is base else f"{view.t('per_prompt')} · {one.variant}"
        blocks.append(Fold(caption, (replace(prompt_table(view, one), caption=caption),)))
    return Section("errors", view.t("errors_section"), tuple(blocks)) if blocks else None


def prompt_table(view: View, variant: VariantDetails) -> Table:
    """A row a prompt: what published reports have, then what else is known of it; the answer is the last."""
    second = variant.second_dtype
    columns = (
        *map(view.t, ("prompt", "candidate_first", "reference_first", "matches", "cosine", "relative_error")), "KL",
        *([f"{view.t('matches')} ({second})"] if second else []), *map(view.t, ("repeated", "as_expected", "answer")),
    )  # fmt: skip
    rows = tuple(_prompt(row, second=bool(second)) for row in variant.prompts)
    return Table(view.t("per_prompt"), columns, rows)


def _prompt(row: PromptRow, *, second: bool) -> tuple[Cell, ...]:
    told = [number("—" if row.second_matches is None else f"{row.second_matches}/{row.tokens}")] if second else []
    return (
        Cell(row.text), Cell(row.candidate_first), Cell(row.reference_first),
        Cell(f"{row.matches}/{row.tokens}", _mark(row.matches == row.tokens)),
        number(f"{row.cosine_first:.6f} · {row.cosine:.6f}"), number(percent(row.relative_l2)), number(f"{row.kl:.2g}"),
        *told, Cell("—") if row.repeated is None else Cell("", _mark(row.repeated)),
        Cell(", ".join(row.expected), _mark(row.expected_found)) if row.expected else Cell("—"), Cell(row.answer),
    )  # fmt: skip


def _mark(holds: bool) -> Mark:
    return "pass" if holds else "fail"


def _steps(base: VariantDetails, values: list[float]) -> list[list[float]]:
    """Values by the step of the answer, in percent."""
    found: list[list[float]] = []
    starts = [0, *accumulate(row.tokens for row in base.prompts)]
    for row, start in zip(base.prompts, starts, strict=False):
        for step in range(row.tokens):
            if step == len(found):
                found.append([])
            found[step].append(100 * values[start + step])
    return [one for one in found if len(one) >= _ANSWERS]


def _by_position(view: View, base: VariantDetails) -> list[Block]:
    steps = _steps(base, base.relative_l2)
    if len(steps) < 2:
        return []
    x = tuple(float(step) for step in range(len(steps)))
    lines = [
        Line(name, x, tuple(_short(float(np.quantile(one, share))) for one in steps))
        for name, share in (("c_median", 0.5), ("c_p90", 0.9), ("c_worst", 1.0))
    ]
    if base.floor_l2:
        floor = _steps(base, base.floor_l2)
        lines.append(Line("c_floor_median", x, tuple(_short(float(np.median(one))) for one in floor), "steps"))
    worst = max(range(len(steps)), key=lambda step: max(steps[step]))
    alt = view.t("alt_position").format(worst=f"{max(steps[worst]):.3g} %", step=worst)
    return [Chart("position", alt, "c_step", "c_error", tuple(lines))]


def _spread(view: View, base: VariantDetails) -> Chart:
    mine = np.log10(np.maximum(100 * np.asarray(base.relative_l2), 1e-7))
    theirs = np.log10(np.maximum(100 * np.asarray(base.floor_l2), 1e-7)) if base.floor_l2 else mine
    low, high = min(mine.min(), theirs.min()), max(mine.max(), theirs.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    x = tuple(_short(float(10**edge)) for edge in edges[:-1])
    lines = [_bins("c_candidate", mine, edges, x)]
    if base.floor_l2:
        lines.append(replace(_bins("c_floor", theirs, edges, x), style="steps"))
    median = 10 ** float(np.median(mine))
    alt = view.t("alt_spread").format(median=f"{median:.3g} %", floor=f"{10 ** float(np.median(theirs)):.3g} %")
    return Chart("spread", alt, "c_error_log", "c_positions", tuple(lines), log="x")


def _bins(name: str, values: Values, edges: Values, x: tuple[float, ...]) -> Line:
    """Shares of positions, in percent, between edges."""
    counts = np.histogram(values, edges)[0]
    return Line(name, x, tuple(_short(100 * count / len(values)) for count in counts), "bars")


def _by_prompt(view: View, base: VariantDetails) -> list[Block]:
    starts = [0, *accumulate(row.tokens for row in base.prompts)]
    spans = [slice(start, start + row.tokens) for row, start in zip(base.prompts, starts, strict=False)]
    mine = [100 * fmean(base.relative_l2[span]) for span in spans]
    floor = [100 * fmean(base.floor_l2[span]) for span in spans] if base.floor_l2 else []
    sets = list(dict.fromkeys(row.prompt.partition("/")[0] for row in base.prompts))
    places = {name: [n for n, row in enumerate(base.prompts) if row.prompt.startswith(f"{name}/")] for name in sets}
    blocks: list[Block] = []
    if 1 < len(mine) <= _MOST * 2:
        x = tuple(float(place) for place in range(len(mine)))
        lines = [Line("c_candidate", x, tuple(map(_short, mine)), "dots")]
        lines += [Line("c_floor", x, tuple(map(_short, floor)), "steps")] if floor else []
        worst = max(range(len(mine)), key=mine.__getitem__)
        alt = view.t("alt_prompts").format(prompt=base.prompts[worst].prompt, worst=f"{mine[worst]:.3g} %")
        blocks.append(Chart("prompts", alt, "c_prompt", "c_error", tuple(lines)))
    if len(sets) > 1:
        x = tuple(float(place) for place in range(len(sets)))
        by_set = [fmean(mine[place] for place in places[name]) for name in sets]
        lines = [Line("c_candidate", x, tuple(map(_short, by_set)), "bars")]
        if floor:
            of_floor = [fmean(floor[place] for place in places[name]) for name in sets]
            lines.append(Line("c_floor", x, tuple(map(_short, of_floor)), "limit"))
        alt = view.t("alt_sets").format(
            sets=", ".join(f"{name} {error:.3g} %" for name, error in zip(sets, by_set, strict=True))
        )
        blocks.append(Chart("sets", alt, "c_set", "c_error", tuple(lines), names=tuple(sets)))
    return blocks


def _short(value: float) -> float:
    return float(f"{value:.4g}")
