"""Blocks of sections as Markdown of GitHub's flavour; charts and tokens are a page's alone."""

import re

from npu_conformance.report.sections.blocks import Block, Cell, Code, Fold, Items, Paragraph, Table, Tiles

_SIGNS = {
    "pass": "✅", "fail": "❌", "error": "⛔", "inconclusive": "❓", "skipped": "⏭", "no_effect": "—", "shown": "—",
    "not_applicable": "—",
}  # fmt: skip
_LONGEST = 160
_FENCE = re.compile(r"`{3,}")


def lines(blocks: tuple[Block, ...], most: int, more: str) -> list[str]:
    """The lines of blocks, an empty one after each.

    Args:
        blocks: of a section; what is folded away is left out.
        most: rows of a table.
        more: a line that says how many rows were left out, with `{count}`.
    """
    found: list[str] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            found += [f"**{_plain(block.text)}**" if block.strong else _plain(block.text), ""]
        elif isinstance(block, Table):
            found += [*table(block, most), ""]
            if len(block.rows) > most:
                found += [more.format(count=len(block.rows) - most), ""]
        elif isinstance(block, Items):
            found += [*(f"- {_plain(item)}" for item in block.items), ""]
        elif isinstance(block, Tiles):
            found += [" · ".join(f"{cell(one.name)} **{cell(one.observed)}**" for one in block.tiles), ""]
        elif isinstance(block, Code):
            found += [*code(block.text), ""]
        elif isinstance(block, Fold):
            continue
    return found


def table(block: Table, most: int, length: int = _LONGEST) -> list[str]:
    """Head, rule and rows; `most` of them, with cells of at most `length` characters."""
    rows = [" | ".join(_shown(one, length) for one in row) for row in block.rows[:most]]
    rule = " | ".join("---:" if _numbers(block, place) else "---" for place in range(len(block.columns)))
    head = " | ".join(map(cell, block.columns))
    return [f"| {head} |", f"| {rule} |", *(f"| {row} |" for row in rows)]


def code(text: str) -> list[str]:
    """A fence that nothing in the text can end."""
    longest = max(map(len, _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    language = "bibtex" if text.startswith("@") else "bash"
    return [f"{fence}{language}", *text.splitlines(), fence]


def cell(text: object, length: int = _LONGEST) -> str:
    """Text from outside as one table cell: no line break, no markup of its own, not longer than `length`.

    An underscore within a word is none, and stays as it is. Addresses are no links.
    """
    flat = " ".join(str(text).split())
    flat = flat if len(flat) <= length else f"{flat[: length - 1]}…"
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`*\[\]|#~$])", r"\\\1", flat)
    # After #, which these have themselves.
    flat = flat.replace("://", ":&#47;/").replace("www.", "www&#46;").replace("@", "&#64;")
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", flat) or " "


def _shown(one: Cell, length: int) -> str:
    sign = _SIGNS.get(one.mark, "")
    joint = " " if not one.text or one.note.startswith("(") else ": "
    text = f"{one.text}{joint if one.note else ''}{one.note}"
    return f"{sign} {cell(text, length)}".strip() if text else sign or " "


def _numbers(block: Table, place: int) -> bool:
    return any(row[place].number for row in block.rows)


def _plain(text: str) -> str:
    """A sentence of the suite: its code stays code, what it quotes is only text."""
    shown = []
    for place, part in enumerate(re.split(r"(`[^`]+`)", " ".join(text.split()))):
        ends = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
        shown.append(part if place % 2 or not part.strip() else f"{ends[0]}{cell(part, 2000)}{ends[1]}")
    return "".join(shown)
