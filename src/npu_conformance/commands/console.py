"""What subcommands print: text from outside is escaped, and a table is as wide as the terminal, or as a log's line."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from npu_conformance.errors import printable

# Of what is not printed to a terminal.
_WIDTH = 120


class _Escaping(Console):
    def render_str(self, text: str, **options: object) -> Text:
        """All plain text passes here, cells of tables too."""
        return super().render_str(printable(text), **options)  # type: ignore[arg-type]


def console() -> Console:
    """Where tables are printed, without markup."""
    found = _Escaping(highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found = _Escaping(highlight=False, markup=False, emoji=False, width=_WIDTH)
    return found


def plain_table(*columns: str) -> Table:
    """A table without lines, whose cells are folded where they are too wide."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def say(*lines: object) -> None:
    """Print lines, at once."""
    print(*map(printable, lines), sep="\n", flush=True)
