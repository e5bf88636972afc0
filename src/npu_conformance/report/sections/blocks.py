"""What a section is made of: plain data that a renderer shows, already in words of one language.

Charts have keys of the report's words in place of words, so that a chart is drawn once for all languages.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from npu_conformance.report.token_rows import TokenRows

Mark = Literal["pass", "fail", "inconclusive", "error", "shown", "skipped", "not_applicable", "no_effect", ""]
"""A verdict to be shown with its sign; empty: none."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    mark: Mark = ""
    shade: float | None = None
    """0 to 1, how dark a cell of a matrix is; None of a plain table."""
    number: bool = False
    """Whether it stands on the right."""
    note: str = ""
    """Said after it, without its mark."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen."""

    name: str
    observed: str
    besides: str
    """Floor, limit and n."""
    mark: Mark


@dataclass(frozen=True)
class Tiles:
    """The figures of the first screen."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Code:
    """A command, or lines of a file."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A series of a chart."""

    name: str
    """A key of the report's words, or a name that has none."""
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: Literal["line", "dots", "steps", "bars", "limit"] = "line"


@dataclass(frozen=True)
class Chart:
    """A chart with axes."""

    name: str
    """Unique on a page."""
    alt: str = field(compare=False)
    """What it shows, in words of the language."""
    x: str
    """Key of the axis's words, with its unit."""
    y: str
    lines: tuple[Line, ...]
    log: Literal["", "x", "y"] = ""
    names: tuple[str, ...] = ()
    """Of the places 0, 1, … of the x axis, where it is no number."""


@dataclass(frozen=True)
class Bullet:
    """A gate: what was observed, against its limit and the floor, as a share of the limit."""

    name: str
    """The metric's id."""
    observed: float
    interval: tuple[float, float] | None
    floor: float | None
    mark: Mark


@dataclass(frozen=True)
class Bullets:
    """Gates one under another."""

    name: str
    alt: str = field(compare=False)
    bullets: tuple[Bullet, ...]
    note: str = field(compare=False)
    """How to read them."""


@dataclass(frozen=True)
class Answer:
    """One prompt with its answer, token by token."""

    prompt: str
    """`set/id`."""
    text: str
    start: int
    """Its first position among those of the variant."""
    count: int
    note: str
    whole: str
    """The whole answer; empty where its tokens can be read as they are."""


@dataclass(frozen=True)
class Answers:
    """Answers of a variant by token."""

    variant: str
    rows: TokenRows
    over_floor: tuple[float, ...]
    """Error of each position over the floor's there; over the limit of the mean, where there is no floor."""
    answers: tuple[Answer, ...]
    """Those that are furthest off, shown at once."""
    others: tuple[Answer, ...]
    """The others, folded away."""
    summary: str
    """Of these."""
    note: str
    """How to read them; empty where that was said before."""


@dataclass(frozen=True)
class Fold:
    """Blocks that are folded away."""

    summary: str
    blocks: tuple["Block", ...]


Block: TypeAlias = Paragraph | Table | Tiles | Code | Items | Chart | Bullets | Answers | Fold


@dataclass(frozen=True)
class Section:
    """A part of a report with a heading."""

    id: str
    """Of its module, and of its anchor."""
    title: str
    blocks: tuple[Block, ...]
