"""What subcommands print: text from outside is escaped, and a table is as wide as the terminal, or as a log's line."""

from rich.console import Console
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


def say(*lines: object) -> None:
    """Print lines, at once."""
    print(*map(printable, lines), sep="\n", flush=True)
