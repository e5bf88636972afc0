"""How the engine ran: environment, options asked for and in effect, its log."""

from collections.abc import Mapping

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.engine_options import option_rows
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.words.log import LOG


def section(view: View) -> Section | None:
    """None where no engine left a trace."""
    base = view.base
    if base is None:
        return None
    blocks: list[Block] = [environment_table(view)]
    if (log := _log(view)).rows:
        blocks.append(log)
    options = tuple(_options(view, one) for one in view.model.variants)
    return Section("environment", view.t("environment"), (*blocks, Fold(view.t("engines"), options)))


def environment_table(view: View) -> Table:
    """Hardware, software and time of both sides."""
    base = view.base
    rows: list[tuple[Cell, ...]] = []
    if base is not None:
        sides = base.candidate, base.reference
        entries = [
            (view.t("engine"), [str(side.get("engine", "—")) for side in sides]),
            (view.t("device"), [str(side.get("device", "—")) for side in sides]),
            ("dtype", [_dtype(side) for side in sides]),
            (view.t("versions"), [_joined(side.get("versions", {})) for side in sides]),
            (view.t("timings"), [_joined(side.get("seconds", {})) for side in sides]),
            (
                view.t("peak_memory"),
                [f"{side['peak_rss_gib']} GiB" if side.get("peak_rss_gib") else "—" for side in sides],
            ),
        ]
        rows = [(Cell(name), *map(Cell, texts)) for name, texts in entries]
        if view.model.facts and view.model.facts.hardware:
            rows.append((Cell(view.t("hardware")), Cell(view.model.facts.hardware), Cell("—")))
    return Table(view.t("environment"), (view.t("item"), view.t("candidate"), view.t("reference")), tuple(rows))


def _dtype(side: Mapping[str, object]) -> str:
    for key in ("effective", "setting"):
        found = side.get(key)
        if isinstance(found, dict) and "dtype" in found:
            return str(found["dtype"])
    return "—"


def _joined(entries: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {entry}" for name, entry in entries.items()) or "—"


def _options(view: View, one: VariantDetails) -> Table:
    rows = tuple(
        (Cell(row.name, "inconclusive" if row.differs else ""), Cell(row.asked), Cell(row.effective))
        for row in option_rows(one)
    )
    return Table(one.variant, (view.t("option"), view.t("asked"), view.t("effective")), rows)


def _log(view: View) -> Table:
    rows = []
    for one in view.model.variants:
        for row in one.log:
            meaning, remedy = (
                LOG.get(row.name, (row.meaning, row.remedy)) if view.language == "zh" else (row.meaning, row.remedy)
            )
            rows.append((Cell(one.variant, "fail" if row.fails else ""), Cell(row.line), Cell(meaning), Cell(remedy)))
    columns = tuple(map(view.t, ("variant", "log_line", "meaning", "remedy")))
    return Table(view.t("log"), columns, tuple(rows))
