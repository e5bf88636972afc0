"""What is wrong with one module of a quantised checkpoint, told once for all modules it is wrong with."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from npu_conformance.checkpoints.checkpoint import Finding


class Problem(NamedTuple):
    """Something wrong with a module."""

    kind: str
    """Of problems alike the first is told, with how many more there are."""
    about: str
    """The module or tensor."""
    message: str
    level: Literal["error", "suspicion", "warning"] = "error"


def findings_of(problems: Iterable[Problem]) -> list[Finding]:
    """A finding for each kind."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return [
        Finding(first.level, first.about, first.message + (f" ({len(more)} more such)" if more else ""))
        for first, *more in kinds.values()
    ]
