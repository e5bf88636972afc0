"""Features in a word each, as published reports list them: from the variants."""

from npu_conformance.report.rows import VariantRow, variant_rows
from npu_conformance.report.sections.blocks import Cell, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import percent


def section(view: View) -> Section | None:
    """None where no variant was run or skipped."""
    table = feature_table(view)
    return Section("features", view.t("features"), (table,)) if table.rows else None


def feature_table(view: View) -> Table:
    """A row a variant: what it is, its verdict, and what it was judged on."""
    rows = tuple(
        (Cell(_name(view, row)), _status(view, row), Cell(_said(view, row))) for row in variant_rows(view.model)
    )
    return Table(view.t("features"), tuple(map(view.t, ("feature", "verdict", "remark"))), rows)


def _name(view: View, row: VariantRow) -> str:
    return f"{row.name}: {view.phrase(row.changes)}" if row.changes else row.name


def _status(view: View, row: VariantRow) -> Cell:
    return Cell(view.t("no_effect"), "no_effect") if row.no_effect else view.judged(row.verdict)


def _said(view: View, row: VariantRow) -> str:
    """The sample and the error; of what did not pass, why."""
    if row.no_effect:
        return view.phrase(row.no_effect)
    if row.verdict == "fail" and row.deciding is not None:
        return f"{row.deciding.check}: {view.title(row.deciding)}"
    if row.deciding is not None:
        return view.phrase(row.deciding.message or row.deciding.check)
    seen = row.shown
    if seen is not None and seen.same_answers is not None:
        return f"{seen.same_answers.equal}/{seen.same_answers.answers} {view.t('same_answers')}"
    if seen is None or row.error is None or row.agreement is None:
        return "—"
    return view.t("feature_said").format(agreement=percent(row.agreement), error=percent(row.error), n=seen.positions)
