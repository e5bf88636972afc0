"""Checks without statistics: every case must hold, and there must be one."""

from collections.abc import Sequence
from math import isnan
from typing import Any

from numpy.typing import NDArray

from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.limits import Relation, keeps
from npu_conformance.measure.results import Path, Result, Verdict


def all_of(
    evidence: Evidence,
    check: str,
    metric: str,
    broken: Sequence[object] | NDArray[Any],
    where: str | None,
    n: int | None = None,
    *,
    path: Path = "decode",
    at: str = "answers",
    shown: bool = False,
) -> Result:
    """All of n must hold, none may be broken, and n must not be 0.

    Args:
        evidence: of the model in a variant.
        check: id of the check.
        metric: id of what is counted.
        broken: the cases that do not hold.
        where: the first of them, for people.
        n: of how many; of all answers by default.
        path: of the engine.
        at: see `Result`.
        shown: the count is a number and nobody judges it.
    """
    n = len(evidence.candidate.answers) if n is None else n
    holds = n > 0 and len(broken) == 0
    return Result(
        check=check,
        variant=evidence.variant,
        path=path,
        metric=metric,
        at=at,
        observed=n - len(broken),
        limit=None if shown else n,
        n=n,
        verdict="shown" if shown else "pass" if holds else "fail",
        where=where,
    )


def by_limit(observed: float, limit: float | None, relation: Relation) -> Verdict:
    """The verdict of a number: shown without a limit, unless it is none, and NaN keeps no limit."""
    if limit is None:
        return "error" if isnan(observed) else "shown"
    return "pass" if keeps(observed, limit, relation) else "fail"


def not_applicable(evidence: Evidence, check: str, why: str, metric: str | None = None) -> Result:
    """A check, or one metric of it, that this model or this run has nothing for."""
    return Result(
        check=check,
        variant=evidence.variant,
        metric=metric or check,
        verdict="not_applicable",
        message=why,
        path="none",
    )


def first(messages: Sequence[str]) -> str | None:
    """The first of several messages, with the number of the others."""
    if not messages:
        return None
    return messages[0] + (f" (and {len(messages) - 1} more)" if len(messages) > 1 else "")
