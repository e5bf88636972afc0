"""Checks without statistics: every case must hold, and there must be one."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.results import Check


def all_of(
    evidence: Evidence,
    check: str,
    metric: str,
    broken: Sequence[object] | NDArray[Any],
    where: str | None,
    n: int | None = None,
    path: str = "decode",
) -> Check:
    """A hard check: all of n must hold, none is allowed to be broken, and n must not be 0."""
    n = len(evidence.candidate.answers) if n is None else n
    return Check.model_validate(
        {
            "check": check,
            "variant": evidence.variant,
            "path": path,
            "metric": metric,
            "observed": n - len(broken),
            "limit": n,
            "n": n,
            "verdict": "pass" if n > 0 and len(broken) == 0 else "fail",
            "where": where,
        }
    )


def not_applicable(evidence: Evidence, check: str, metric: str, why: str) -> Check:
    """A check that this model or this run has nothing for."""
    return Check(
        check=check,
        variant=evidence.variant,
        metric=metric,
        verdict="not_applicable",
        message=why,
        path="none",
    )


def first(messages: Sequence[str]) -> str | None:
    """The first of several messages, with the number of the others."""
    if not messages:
        return None
    return messages[0] + (f" (and {len(messages) - 1} more)" if len(messages) > 1 else "")


def first_difference(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """Index of the first token that differs, or at which one of two sequences ends."""
    pairs = enumerate(zip(mine, theirs, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(mine), len(theirs)))
