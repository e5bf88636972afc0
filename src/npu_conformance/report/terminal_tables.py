"""The terminal's table of a model: a row a variant, its checks counted by verdict."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from npu_conformance.report.causes import verdicts
from npu_conformance.report.model import ModelReport
from npu_conformance.report.rows import variant_rows

COLUMNS = ("pass", "fail", "inconclusive", "error", "skipped", "n/a")
_GAP = 2
# What has no limit was not judged.
_NAMES = {"not_applicable": "n/a", "shown": "n/a"}
_STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "error": "red"}
# Verdicts in whose rows nothing is to be looked at.
_QUIET = ("pass", "shown", "skipped", "not_applicable")
_LONGEST_NAMES = 46


@dataclass(frozen=True)
class Row:
    """A variant, or several with the same counts."""

    name: str
    counts: tuple[int, ...]
    """By `COLUMNS`."""
    quiet: bool
    """Whether nothing in it failed, broke or stayed open."""


@dataclass(frozen=True)
class Table:
    """A model."""

    title: str
    verdict: str
    rows: tuple[Row, ...]


def table(model: ModelReport, *, join: str) -> Table:
    """A model's table.

    Args:
        model: of the report.
        join: which rows with the same counts become one: `none`, those that are `quiet`, or `all`.
    """
    found = verdicts(model)
    rows = []
    for variant in variant_rows(model):
        counts = Counter(_NAMES.get(verdict, verdict) for (name, _), verdict in found.items() if name == variant.name)
        rows.append(Row(variant.name, tuple(counts[column] for column in COLUMNS), variant.verdict in _QUIET))
    twin = " (twin)" if model.subject == "twin" else ""
    partial = " (partial)" if model.not_judged and model.verdict == "pass" else ""
    return Table(f"{model.name}{twin}", model.verdict.upper() + partial, tuple(_joined(rows, join)))


def table_lines(tables: Iterable[Table], width: int) -> list[list[tuple[str, str]]]:
    """Lines a table, all in the same columns; the first is the model with the names of the columns.

    A line comes with the style it is to be shown in.
    """
    tables = list(tables)
    names = [name for one in tables for name in (f"{one.title}: {one.verdict}", *(f"  {row.name}" for row in one.rows))]
    room = width - sum(len(column) + _GAP for column in COLUMNS)
    first = min(max(map(len, names), default=0), max(room, 1))
    return [_lines(one, first) for one in tables]


def _lines(one: Table, first: int) -> list[tuple[str, str]]:
    style = _STYLES.get(one.verdict.split()[0].lower(), "")
    lines = [(_line(f"{one.title}: {one.verdict}", COLUMNS, first), f"bold {style}".strip())]
    return lines + [
        (_line(f"  {row.name}", [str(count) if count else "-" for count in row.counts], first), "") for row in one.rows
    ]


def _line(name: str, cells: Iterable[str], first: int) -> str:
    """A name that is longer than its column pushes the others to the right: it is not cut."""
    aligned = (cell.rjust(len(column) + _GAP) for cell, column in zip(cells, COLUMNS, strict=True))
    return f"{name:<{first}}{''.join(aligned)}"


def _joined(rows: list[Row], join: str) -> list[Row]:
    """Rows in their order; those that are to be one stand at the first of them."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        alone = join == "none" or (join == "quiet" and not row.quiet)
        groups.setdefault(row.name if alone else row.counts, []).append(row)
    return [Row(_names([row.name for row in group]), group[0].counts, group[0].quiet) for group in groups.values()]


def _names(names: list[str]) -> str:
    """As many as fit, and how many more there are."""
    for shown in range(len(names), 1, -1):
        more = f" and {len(names) - shown} more" if shown < len(names) else ""
        if len(text := f"{', '.join(names[:shown])}{more}") <= _LONGEST_NAMES:
            return text
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
