"""Where the error comes from, computed: rounding, quantisation, the engine's own, and how it grows over layers.

Errors of independent sources add in squares. Rounding's is what the floor runs measure in the candidate's precision;
of a quantised candidate they are quantised as well, and what quantisation costs by itself is measured alone. What the
candidate has beyond its floor is the engine's own.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from npu_conformance.report.sections.blocks import Block, Cell, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import percent


@dataclass(frozen=True)
class Shares:
    """Shares of the mean squared relative L2 error of a variant, each 0 to 1; together 1."""

    total: float
    """Root mean square of the relative L2 error."""
    floor: float
    """The same of the floor runs."""
    quantisation: float | None
    """The same of quantisation by itself; None where nothing that enters layers is quantised."""

    @property
    def own(self) -> float:
        """What is beyond the floor, as a share of the squared error: the engine's own."""
        return max(0.0, 1 - (self.floor / self.total) ** 2) if self.total else 0.0

    @property
    def quantised(self) -> float:
        """Quantisation's share of the squared error, at most what is not the engine's own."""
        if self.quantisation is None or not self.total:
            return 0.0
        return min(1 - self.own, (self.quantisation / self.total) ** 2)

    @property
    def rounding(self) -> float:
        """The rest: rounding."""
        return 1 - self.own - self.quantised


def shares(view: View) -> Shares | None:
    """Of base; None without a noise floor, or where errors are not finite."""
    base = view.base
    if base is None or not base.floor_l2 or not base.relative_l2:
        return None
    total, floor = _rms(base.relative_l2), _rms(base.floor_l2)
    if not (math.isfinite(total) and floor > 0):
        return None
    alone = view.find("quantisation_l2_mean")
    return Shares(total, floor, None if alone is None else alone.observed)


def section(view: View) -> Section | None:
    """None without a noise floor."""
    found, base = shares(view), view.base
    if found is None or base is None:
        return None
    columns = tuple(map(view.t, ("source", "share", "size", "how_known")))
    rows = [_row(view, "rounding", found.rounding, found.floor if found.quantisation is None else None)]
    if found.quantisation is not None:
        rows.append(_row(view, "quantisation", found.quantised, found.quantisation))
    rows.append(_row(view, "own", found.own, None))
    key = "source_below" if found.own == 0 else "source_above"
    text = view.t(key).format(total=percent(found.total), floor=percent(found.floor), n=base.positions)
    blocks: list[Block] = [Paragraph(text), Table(view.t("error_source"), columns, tuple(rows))]
    if grown := _growth(view):
        blocks.append(grown)
    blocks.append(Paragraph(view.t("note_source")))
    return Section("error_source", view.t("error_source"), tuple(blocks))


def _row(view: View, name: str, share: float, size: float | None) -> tuple[Cell, ...]:
    shown = "—" if size is None else percent(size)
    return Cell(view.t(f"source_{name}")), number(f"{100 * share:.0f} %"), number(shown), Cell(view.t(f"known_{name}"))


def _growth(view: View) -> Paragraph | None:
    """How the hidden states' error grows from layer to layer, in a sentence."""
    rows = [row for row in (view.base.layers if view.base else []) if row.finite]
    if len(rows) < 3:
        return None
    first, last = rows[1], rows[-1]
    steps = [(after.relative_l2 - before.relative_l2, after.point) for before, after in pairwise(rows)]
    most = max(steps)
    text = view.t("source_growth")
    return Paragraph(
        text.format(
            first=first.point, first_error=percent(first.relative_l2), last=last.point,
            last_error=percent(last.relative_l2), most=most[1], added=percent(most[0]),
        )
    )  # fmt: skip


def _rms(values: list[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))
