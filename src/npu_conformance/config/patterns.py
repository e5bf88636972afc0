"""Regular expressions that a config brings, searched in answers."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from npu_conformance.errors import TraceError
from npu_conformance.machine.patterns import compiled

if TYPE_CHECKING:
    import regex

_SECONDS = 0.5
"""Of one search, which takes microseconds; one that does not end fills a gigabyte in a second."""


def _checked(pattern: str) -> str:
    compiled(pattern)
    return pattern


def find(pattern: str, text: str, where: Literal["anywhere", "start"] = "anywhere") -> "regex.Match[str] | None":
    """Where a pattern matches an answer; None where it does not.

    Args:
        pattern: a `Pattern`.
        text: the answer.
        where: `start`: from the start, and `.` matches line breaks too.

    Raises:
        TraceError: it takes too long to say.
    """
    import regex

    try:
        if where == "start":
            return regex.match(pattern, text, regex.DOTALL, timeout=_SECONDS)
        return regex.search(pattern, text, timeout=_SECONDS)
    except TimeoutError as error:
        raise TraceError(
            f"regular expression {pattern!r}: found no end in {_SECONDS} s in an answer of {len(text)} characters: "
            "repeat nothing that itself repeats, as in (a+)+"
        ) from error


Pattern = Annotated[str, AfterValidator(_checked)]
"""A regular expression."""
