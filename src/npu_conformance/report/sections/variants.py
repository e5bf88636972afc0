"""The matrix of variants: what each changes, how far it is from base and reference, and the verdict of each check."""

from npu_conformance.checks import CHECKS
from npu_conformance.report.rows import VariantRow, has_others, variant_rows
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Mark, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import flips, percent, without

_COLUMNS = ("variant", "changes", "verdict", "against_base", "flips", "bitwise", "reference_tokens", "reference_error")
_SIGNS = {
    "pass": "✓", "fail": "✗", "error": "!", "inconclusive": "?", "skipped": "·", "not_applicable": "–", "shown": "–",
}  # fmt: skip


def section(view: View) -> Section | None:
    """None where nothing was run or skipped."""
    rows = variant_rows(view.model)
    if not rows:
        return None
    blocks: list[Block] = [variant_table(view)]
    said = {
        "note_unconfirmed": any(row.unconfirmed for row in rows),
        "note_no_effect": any(row.no_effect for row in rows),
        "note_variants": has_others(view.model),
    }
    blocks += [Paragraph(view.t(key)) for key, holds in said.items() if holds]
    for table in (_boundary(view), _matrix(view), _not_applicable(view), _never_ran(view)):
        blocks += [Fold(table.caption, (table,))] if table.rows else []
    return Section("variants", view.t("variants"), tuple(blocks))


def variant_table(view: View) -> Table:
    """A row a variant."""
    rows = tuple(_row(view, row) for row in variant_rows(view.model))
    return Table(view.t("variants"), tuple(map(view.t, _COLUMNS)), rows)


def _row(view: View, row: VariantRow) -> tuple[Cell, ...]:
    seen = row.shown
    base, same = (seen.against_base, seen.same_answers) if seen else (None, None)
    text = "—" if same is None else f"{same.equal}/{same.answers} {view.t('same_answers')}"
    return (
        Cell(row.name), Cell(view.phrase(row.changes) or "—"), _verdict(view, row),
        number("—" if base is None else f"{percent(base.relative_l2_mean)} · {percent(base.relative_l2_max)}"),
        number(text if base is None else flips(base)), number("—" if base is None else percent(base.bitwise)),
        number("—" if row.agreement is None else percent(row.agreement)),
        number("—" if row.error is None else percent(row.error)),
    )  # fmt: skip


def _verdict(view: View, row: VariantRow) -> Cell:
    said = view.t("no_effect") if row.no_effect else view.said(row.verdict)
    return Cell(said, row.outcome, note=_why(view, row))


def _why(view: View, row: VariantRow) -> str:
    if row.no_effect:
        return view.phrase(row.no_effect)
    if row.unconfirmed:
        return f"{view.t('unconfirmed')}: {row.unconfirmed}"
    if row.deciding is None:
        return ""
    if row.verdict == "fail":
        return f"{row.deciding.check}, {view.title(row.deciding)}"
    return view.phrase(row.deciding.message or row.deciding.check)


def _boundary(view: View) -> Table:
    """Distances from base at the prompts that end at the edges of KV cache blocks."""
    rows = tuple(
        (
            Cell(row.name), number(str(found.positions)), number(percent(found.relative_l2_max)), number(flips(found)),
            number(percent(found.bitwise)),
        )
        for row in variant_rows(view.model)
        if row.shown and (found := row.shown.at_boundary)
    )  # fmt: skip
    columns = tuple(map(view.t, ("variant", "positions", "boundary_error", "flips", "bitwise")))
    return Table(view.t("at_boundary"), columns, rows)


def _not_applicable(view: View) -> Table:
    """Checks that have nothing to judge, by reason; variants that lack the same share a row."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in variant_rows(view.model):
        for reason, names in without(view.checks(row.name)).items() if row.shown else ():
            found.setdefault((reason, names), []).append(row.name)
    rows = tuple(
        (Cell(view.phrase(reason) or "—"), Cell(names), Cell(", ".join(variants)))
        for (reason, names), variants in found.items()
    )
    return Table(view.t("not_applicable"), tuple(map(view.t, ("reason", "check", "variants"))), rows)


def _never_ran(view: View) -> Table:
    """What is said of variants that left nothing to judge: skipped, or in error."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in variant_rows(view.model):
        for one in view.checks(row.name) if row.details is None else ():
            found.setdefault((row.name, one.verdict, one.message or ""), []).append(one.check)
    rows = tuple(
        (Cell(variant), view.judged(verdict), Cell(", ".join(dict.fromkeys(names))), Cell(view.phrase(why) or "—"))
        for (variant, verdict, why), names in found.items()
    )
    return Table(view.t("never_ran"), tuple(map(view.t, ("variant", "verdict", "check", "reason"))), rows)


def _matrix(view: View) -> Table:
    """Checks by variants: the sign of each verdict."""
    names = [row.name for row in variant_rows(view.model)]
    rows = []
    for check in CHECKS:
        found = [view.verdicts.get((name, check), "") for name in names]
        if any(one not in ("", "not_applicable") for one in found):
            rows.append((Cell(check), *(Cell(_SIGNS.get(one, ""), _quiet(one)) for one in found)))
    return Table(view.t("check_matrix"), (view.t("check"), *names), tuple(rows))


def _quiet(verdict: str) -> Mark:
    """Only what is to be looked at has a colour."""
    return verdict if verdict in ("fail", "error", "inconclusive") else ""  # type: ignore[return-value]
