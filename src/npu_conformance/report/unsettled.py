"""What stayed open in a model: which checks in which variants, why, and what would settle them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from npu_conformance.measure.results import Result
from npu_conformance.report.model import ModelReport

# A number of prompts that a check's message names.
_PROMPTS = re.compile(r"--prompts (\d+)")
_NUMBERS = re.compile(r"\d[\d.]*(e-?\d+)?")


@dataclass(frozen=True)
class Unsettled:
    """Checks that are inconclusive for one reason."""

    checks: tuple[str, ...]
    variants: tuple[str, ...]
    why: str
    """The message of the first of them; the others differ in their figures."""
    prompts: int | None
    """How many would settle all of them; None where not all messages say so."""


def unsettled(model: ModelReport) -> list[Unsettled]:
    """One entry a reason."""
    by_check: dict[tuple[str, str], list[Result]] = {}
    for check in model.checks:
        if check.verdict == "inconclusive":
            by_check.setdefault((check.check, _NUMBERS.sub("#", check.message or "")), []).append(check)
    alike: dict[tuple[tuple[str, ...], str], list[Result]] = {}
    for (_, reason), checks in by_check.items():
        alike.setdefault((_variants(checks), reason), []).extend(checks)
    return [
        Unsettled(
            checks=tuple(dict.fromkeys(check.check for check in checks)),
            variants=variants,
            why=checks[0].message or "no reason was given",
            prompts=_prompts(checks),
        )
        for (variants, _), checks in alike.items()
    ]


def _variants(checks: Sequence[Result]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check.variant for check in checks))


def _prompts(checks: Sequence[Result]) -> int | None:
    found = [match for check in checks if (match := _PROMPTS.search(check.message or ""))]
    return max(int(match[1]) for match in found) if len(found) == len(checks) else None
