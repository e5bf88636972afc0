"""Three-way comparison: decode and prefill against the reference and against each other, and what that points at."""

from npu_conformance.measure.three_way import IMPLICATES
from npu_conformance.report.sections.blocks import Block, Cell, Paragraph, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import percent

_PATHS = ("decode_path", "prefill_path", "own_path")
_NOTHING = next(iter(IMPLICATES.values()))
"""What all three say that hold."""


def section(view: View) -> Section | None:
    """None where prefill was not captured. The table of combinations is there where one of the three breaks."""
    table = path_table(view)
    if not table.rows:
        return None
    blocks: list[Block] = [table, Paragraph(view.t("note_paths"))]
    if any(one.three_way is not None and one.three_way.implicates != _NOTHING for one in view.model.variants):
        blocks.append(_combinations(view))
    return Section("paths", view.t("paths"), tuple(blocks))


def path_table(view: View) -> Table:
    """A row a variant: whether each comparison keeps the limits of the logits, its mean error, and what that says."""
    rows = []
    for one in view.model.variants:
        if (seen := one.three_way) is not None:
            pairs = (seen.decode, seen.decode_l2), (seen.prefill, seen.prefill_l2), (seen.own, seen.own_l2)
            cells = (_held(view, holds=holds, error=error) for holds, error in pairs)
            rows.append((Cell(one.variant), *cells, Cell(view.phrase(seen.implicates))))
    columns = tuple(map(view.t, ("variant", *_PATHS, "implicates")))
    return Table(view.t("paths"), columns, tuple(rows))


def _held(view: View, *, holds: bool, error: float) -> Cell:
    return Cell(f"{view.t('holds' if holds else 'breaks')}, {percent(error)}", "pass" if holds else "fail")


def _combinations(view: View) -> Table:
    """What each combination says, and in which variants it was seen."""
    seen = [(one.variant, one.three_way.implicates) for one in view.model.variants if one.three_way is not None]
    rows = tuple(
        (
            *(Cell("", "pass" if holds else "fail") for holds in combination),
            Cell(view.phrase(implicates)),
            Cell(", ".join(variant for variant, found in seen if found == implicates)),
        )
        for combination, implicates in IMPLICATES.items()
    )
    return Table(view.t("combinations"), tuple(map(view.t, (*_PATHS, "implicates", "seen_in"))), rows)
