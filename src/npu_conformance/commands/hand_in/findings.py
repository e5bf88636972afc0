"""What `verify` says of each thing that a hand-in publishes."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["follows", "does not follow", "cannot be checked"]


@dataclass(frozen=True)
class Finding:
    """One published thing, and whether it follows from the data."""

    what: str
    status: Status
    why: str = ""
    """What else follows, or why nobody can tell."""


def follows(what: str, why: str = "") -> Finding:
    """It was computed again, and is the same."""
    return Finding(what, "follows", why)


def differs(what: str, why: str) -> Finding:
    """It was computed again, and is another."""
    return Finding(what, "does not follow", why)


def unchecked(what: str, why: str) -> Finding:
    """The hand-in has no data of it."""
    return Finding(what, "cannot be checked", why)
