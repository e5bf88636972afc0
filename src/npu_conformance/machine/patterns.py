"""Regular expressions from outside, compiled by the `regex` package, whose searches can be stopped in time.

They have to be such as Python's own `re` takes too: what only `regex` has (recursion, approximate matching) needs more
memory than a machine has.
"""

import re
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

_LENGTH = 1000
_COUNT = 10_000
"""Of all repetitions in braces together: `regex` writes them out when it compiles."""
_BRACES = re.compile(r"\{(\d*)(?:,(\d*))?\}")
# Before anything but a count it begins an approximate match of `regex`, and is itself elsewhere.
_OPEN = re.compile(r"(?<!\\)\{(?![\d,])")


def compiled(pattern: str) -> "regex.Pattern[str]":
    """A pattern to be searched for with a `timeout`.

    Raises:
        ValueError: it is no regular expression, or too large a one.
    """
    import regex

    if len(pattern) > _LENGTH:
        raise ValueError(f"a regular expression of {len(pattern)} characters, at most {_LENGTH} are allowed")
    if _OPEN.search(pattern):
        raise ValueError("not a regular expression that is read alike everywhere: write { as \\{ where it is no count")
    if _count(pattern) > _COUNT:
        raise ValueError(f"its counts in braces repeat more than {_COUNT:,} times together: write * or + instead")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a later Python may read a set of letters otherwise
            re.compile(pattern)
        return regex.compile(pattern)
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _count(pattern: str) -> int:
    """Times that what is repeated in braces is repeated, were each inside the last."""
    total = 1
    for numbers in _BRACES.findall(pattern):
        longest = max((len(number) for number in numbers), default=0)
        total *= _COUNT + 1 if longest > len(str(_COUNT)) else max(1, *(int(number or 0) for number in numbers))
    return total
