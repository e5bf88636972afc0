"""Layers: hidden states against the reference's, and each attention and MLP against its own floor."""

import math
from dataclasses import replace

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.findings import ModuleRow
from npu_conformance.report.sections.blocks import Block, Cell, Chart, Fold, Line, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import percent

_KINDS = {"self_attn": "c_attention", "linear_attn": "c_linear_attention", "mlp": "c_mlp"}


def section(view: View) -> Section | None:
    """None where no layer was looked at."""
    found = next((one for one in view.model.variants if one.layers or one.modules), None)
    if found is None:
        return None
    blocks: list[Block] = []
    blocks += [_modules_chart(view)] if found.modules else []
    blocks += [_layers_chart(view)] if found.layers else []
    blocks += [Paragraph(view.t(f"note_{name}")) for name in ("modules", "layers") if getattr(found, name)]
    others = [one for one in view.model.variants if one.layers][1:]
    tables = [module_table(view), layer_table(view)]
    tables += [replace(layer_table(view, one), caption=f"{tables[1].caption} · {one.variant}") for one in others]
    blocks.append(Fold(view.t("layer_tables"), tuple(table for table in tables if table.rows)))
    return Section("layers", view.t("layers_section"), tuple(blocks))


def layer_table(view: View, variant: VariantDetails | None = None) -> Table:
    """Hidden states by layer, as published reports have them: a variant's, or the first's that has any."""
    found = variant or next((one for one in view.model.variants if one.layers), None)
    norms = [f"{view.t(side)}: {view.t('norm')}" for side in ("candidate", "reference")]
    columns = (
        view.t("published_layer"), *norms,
        view.t("growth"), view.t("layer_cosine"), view.t("relative_error"), view.t("published_remark"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(row.point), number(f"{row.candidate_norm:.5g}"), number(f"{row.reference_norm:.5g}"),
            number("—" if row.growth is None else f"{row.growth:.3g}×"), number(f"{row.cosine:.6f}"),
            number(percent(row.relative_l2)),
            Cell("" if row.finite and not row.explodes else view.t("explodes" if row.finite else "not finite")),
        )
        for row in (found.layers if found else [])
    )  # fmt: skip
    return Table(view.t("published_layers"), columns, rows)


def module_table(view: View) -> Table:
    """Attentions and MLPs by layer."""
    found = next((one for one in view.model.variants if one.modules), None)
    columns = tuple(map(view.t, ("published_layer", "relative_error", "over_floor", "alike", "along", "verdict")))
    rows = tuple(
        (
            Cell(row.point), number(percent(row.error)), number(f"{row.over_floor:.3f}"), number(f"{row.alike:.3f}"),
            number(f"{row.along:+.2e}"), Cell(view.t("beyond_floor"), "fail") if row.beyond else Cell(""),
        )
        for row in (found.modules if found else [])
    )  # fmt: skip
    return Table(view.t("modules"), columns, rows)


def _modules_chart(view: View) -> Chart:
    rows = next(one for one in view.model.variants if one.modules).modules
    lines, layers = [], sorted({_layer(row.point) for row in rows})
    for kind, name in _KINDS.items():
        own = [row for row in rows if row.point.endswith(kind) and math.isfinite(_judged(row))]
        if own:
            x, y = zip(*((float(_layer(row.point)), float(f"{_judged(row):.4g}")) for row in own), strict=True)
            lines.append(Line(name, x, y))
    judged = view.find("layers_over_floor")
    if judged is not None and judged.limit and layers:
        ends = (float(layers[0]), float(layers[-1]))
        lines.append(Line("c_limit", ends, (float(f"{judged.limit:.4g}"),) * 2, "limit"))
    worst = max(rows, key=lambda row: _judged(row) if math.isfinite(_judged(row)) else math.inf)
    alt = view.t("alt_modules").format(point=worst.point, ratio=f"{_judged(worst):.3g}")
    return Chart("modules", alt, "c_layer", "c_over_floor", tuple(lines))


def _layers_chart(view: View) -> Chart:
    rows = next(one for one in view.model.variants if one.layers).layers
    shown = [(place, row) for place, row in enumerate(rows) if math.isfinite(row.relative_l2)]
    x = tuple(float(place) for place, _ in shown)
    line = Line("c_hidden", x, tuple(float(f"{100 * row.relative_l2:.4g}") for _, row in shown))
    worst = max((row for _, row in shown), key=lambda row: row.relative_l2, default=None)
    alt = view.t("alt_layers").format(
        point=worst.point if worst else "—", error=percent(worst.relative_l2 if worst else 0)
    )
    return Chart("hidden", alt, "c_layer", "c_error", (line,), names=tuple(_short(row.point) for row in rows))


def _judged(row: ModuleRow) -> float:
    """What the gate holds against its limit: what all of a kind have is left out."""
    return row.over_floor / row.alike if row.alike else row.over_floor


def _layer(point: str) -> int:
    return next((int(part) for part in point.split(".") if part.isdigit()), 0)


def _short(point: str) -> str:
    """`embedding`, `0`, `1`, … `final norm`."""
    return point.rpartition(".")[2]
