"""Determinism: the same prompts again, and in other batches."""

from npu_conformance.report.sections.blocks import Block, Cell, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import flips, percent
from npu_conformance.report.words import place

REPEATED = ("repeated_tokens", "repeated_rows")


def section(view: View) -> Section | None:
    """None where nothing was run twice."""
    blocks: list[Block] = [table for table in (repeated_table(view), batch_table(view)) if table.rows]
    if not blocks:
        return None
    return Section("determinism", view.t("determinism_section"), (*blocks, Paragraph(view.t("note_batches"))))


def repeated_table(view: View) -> Table:
    """The second run of the same prompts, by variant."""
    rows = tuple(
        (Cell(one.variant), Cell(view.title(one)), number(f"{one.observed:g} / {one.n}"), view.judged(one.verdict))
        for one in view.model.checks
        if one.metric in REPEATED and one.observed is not None
    )
    columns = tuple(map(view.t, ("variant", "metric", "observed", "verdict")))
    return Table(view.t("greedy_determinism"), columns, rows)


def batch_table(view: View) -> Table:
    """The same tokens in other batches."""
    columns = ("variant", "scenario", "again", "n", "different", "distance", "flips", "where")
    rows = tuple(
        (
            Cell(one.variant), Cell(place(view.language, f"batch:{row.scenario}")), number(str(row.prompts)),
            number(str(row.positions)), number(str(row.different)), number(percent(row.distance)), number(flips(row)),
            Cell(view.phrase(row.where or "—")),
        )
        for one in view.model.variants
        for row in one.batches
    )  # fmt: skip
    return Table(view.t("other_batches"), tuple(map(view.t, columns)), rows)
