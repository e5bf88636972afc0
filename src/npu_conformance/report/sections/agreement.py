"""Tokens against the reference's: both rates, how many ties rounding alone makes, and every token that is no tie."""

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.rows import VariantRow, variant_rows
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.tokens import Agreement
from npu_conformance.report.values import bounds, percent

_MOST = 20
"""Mismatches that are listed of a variant; report.json has them all."""


def section(view: View) -> Section | None:
    """None where no tokens were compared, or all are equal and nothing tells a tie."""
    table, listed = agreement_table(view), [one for one in view.model.variants if one.mismatches and not one.no_effect]
    blocks: list[Block] = [table, Paragraph(view.t("note_agreement"))] if table.rows else []
    if listed:
        shown = (block for one in listed for block in _mismatches(view, one))
        blocks.append(Fold(view.t("mismatches"), (*shown, Paragraph(view.t("note_mismatches")))))
    return Section("agreement", view.t("agreement"), tuple(blocks)) if blocks else None


def agreement_table(view: View) -> Table:
    """A row a variant that a noise floor tells ties of."""
    found = [(row, row.tokens) for row in variant_rows(view.model) if row.tokens is not None]
    routed = any(one.router_ties is not None for _, one in found)
    columns = ("variant", "n", "agreement_raw", "interval", "agreement_adjusted", "interval", "ties", "ties_expected")
    rows = tuple(_row(row, one, routed=routed) for row, one in found)
    return Table(view.t("agreement"), tuple(map(view.t, (*columns, *["router_ties"][: int(routed)]))), rows)


def _row(row: VariantRow, one: Agreement, *, routed: bool) -> tuple[Cell, ...]:
    low, high = one.expected_range
    texts = [str(one.raw.n)]
    texts += [text for rate in (one.raw, one.adjusted) for text in (percent(rate.observed), bounds(rate))]
    texts += [str(one.ties), f"{one.expected_ties:.3g} ({low} – {high})"]
    texts += ["—" if one.router_ties is None else f"{one.router_ties} / {one.raw.n}"] if routed else []
    return Cell(row.name), *map(number, texts)


def _mismatches(view: View, one: VariantDetails) -> list[Block]:
    """The first of a variant, and how many more there are."""
    columns = ("prompt", "position", "candidate", "reference", "margin", "lead", "tie_width")
    rows = tuple(
        (
            Cell(row.prompt), number(str(row.position)), Cell(row.candidate), Cell(row.reference or "—"),
            number(f"{row.margin:.4f}"), number(f"{row.lead:.4f}"), number(f"{row.width:.4f}"),
        )
        for row in one.mismatches[:_MOST]
    )  # fmt: skip
    left = len(one.mismatches) - len(rows)
    more = [Paragraph(view.t("mismatches_more").format(count=left))] if left else []
    return [Table(one.variant, tuple(map(view.t, columns)), rows), *more]
