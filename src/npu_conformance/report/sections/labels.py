"""Labels: a confusion matrix of candidate against reference for each label, and a row a prompt."""

from collections import Counter
from dataclasses import replace

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.prompt_rows import LabelRow
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Paragraph, Section, Table
from npu_conformance.report.sections.view import View

_NONE = "—"


def section(view: View) -> Section | None:
    """None where the config has no labels."""
    own = [one for one in view.model.variants if one.labels and not one.against_base]
    if not own:
        return None
    # Base first, also of a run that has as_served before it.
    first, *others = sorted(own, key=lambda one: one is not view.base)
    rows = first.labels
    names = list(dict.fromkeys(name for row in rows for name in row.expected))
    blocks: list[Block] = [_confusion(view, name, rows) for name in names]
    tables = (label_table(view, first), *(replace(label_table(view, one), caption=one.variant) for one in others))
    folded = Fold(view.t("label_rows"), (*tables, Paragraph(view.t("note_reference_label"))))
    return Section("labels", view.t("labels"), (*blocks, folded))


def label_table(view: View, variant: VariantDetails | None = None) -> Table:
    """A row a labelled prompt of a variant, of base where none is named."""
    one = variant or view.base
    rows = tuple(
        (
            Cell(row.text), Cell(_said(row.expected)), Cell(_said(row.candidate)), Cell(_said(row.reference)),
            Cell("", "pass" if row.candidate and row.candidate == row.reference else "fail"),
        )
        for row in (one.labels if one else [])
    )  # fmt: skip
    columns = tuple(map(view.t, ("prompt", "expected", "candidate", "reference", "equal")))
    return Table(view.t("labels"), columns, rows)


def _confusion(view: View, name: str, rows: list[LabelRow]) -> Table:
    """Reference down, candidate across; all on the diagonal where they agree."""
    pairs = Counter(((row.reference or {}).get(name, _NONE), (row.candidate or {}).get(name, _NONE)) for row in rows)
    values = sorted({value for pair in pairs for value in pair})
    most = max(pairs.values())
    table = tuple(
        (
            Cell(theirs),
            *(
                Cell(
                    str(count) if count else "·", "fail" if count and mine != theirs else "", count / most, number=True
                )
                for mine in values
                for count in (pairs[theirs, mine],)
            ),
        )
        for theirs in values
    )
    caption = view.t("confusion").format(name=name, n=len(rows))
    return Table(caption, (view.t("reference_candidate"), *values), table)


def _said(labels: dict[str, str] | None) -> str:
    return _NONE if labels is None else " · ".join(labels.values())
