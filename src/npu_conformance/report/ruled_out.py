"""What passes are worth: the smallest faults that the recorded campaign says they would have caught."""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from math import inf
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from npu_conformance.checks import CHECKS
from npu_conformance.config.limits import FIGURES
from npu_conformance.config.variants import JUDGED
from npu_conformance.measure.results import Result, worst
from npu_conformance.report.part import Part

CAUGHT = Path(__file__).with_name("caught.json")
"""Written by `npu-conformance dev faults --record`: what each property caught in the recorded campaign."""


class Caught(Part):
    """A kind of fault that a property caught on every twin."""

    check: str
    """The property."""
    kind: str
    strength: float
    """The weakest from which on it did."""
    needs: str | None
    """A part of the model that only some have, and the fault is in."""


class AllCaught(Part):
    """Of a campaign."""

    prompts: int
    """Of the twin that had fewest."""
    positions: int = 0
    """Judged ones, of the twin that had fewest; 0 in a record of before, of which nothing is quoted."""
    allowed: dict[str, float] = Field({})
    """The most that each calibrated gate allowed without a fault, on any twin."""
    caught: tuple[Caught, ...]


class RuledOut(Part):
    """Of a property that passed."""

    variant: str
    check: str
    """The property."""
    faults: dict[str, float]
    """By kind, the weakest strength from which on the property caught it on every twin: see docs/faults.md."""


class Sample(NamedTuple):
    """What a variant was judged on."""

    prompts: int
    """Whose whole rows were compared; none in a run without, such as one judged by its baseline only."""
    positions: int


def ruled_out(checks: Sequence[Result], variant: str, sample: Sample, parts: Collection[str]) -> Iterator[RuledOut]:
    """The properties that passed, where this run reaches as far as the campaign: in base or as served, as strictly.

    Args:
        checks: of a model.
        variant: whose are meant.
        sample: nothing is said of a smaller one than the campaign had.
        parts: that the model has and others have not, by the names that kinds of faults have for them.
    """
    recorded = _recorded()
    if recorded is None or not _as_many(sample, recorded):
        return
    own, there = [check for check in checks if check.variant == variant], (None, *parts)
    for name in dict.fromkeys(check.check for check in own if variant in JUDGED):
        mine = [check for check in own if check.check == name]
        if worst(check.verdict for check in mine) != "pass" or not all(_strict(one, recorded) for one in mine):
            continue
        if faults := {one.kind: one.strength for one in recorded.caught if one.check == name and one.needs in there}:
            yield RuledOut(variant=variant, check=name, faults=faults)


def _as_many(sample: Sample, recorded: AllCaught) -> bool:
    """Whether a sample is no smaller than the campaign's, where that is known."""
    return sample.prompts >= recorded.prompts and sample.positions >= recorded.positions > 0


@cache
def _recorded() -> AllCaught | None:
    return AllCaught.model_validate_json(CAUGHT.read_bytes()) if CAUGHT.is_file() else None


def _strict(check: Result, recorded: AllCaught) -> bool:
    """Whether a check was judged by a limit no wider than the campaign's; those of figures are bfloat16's."""
    if CHECKS[check.check].calibrated:
        # Not known, or NaN: not quoted.
        return check.limit is not None and check.limit <= recorded.allowed.get(check.check, -inf)
    if check.verdict == "shown" and check.limit is not None:
        return False  # its limit was not asserted: a floor run breaks it
    figure = FIGURES.get(check.metric)
    default = None if figure is None else figure.default_limit("bfloat16")
    if figure is None or default is None:
        return True
    return check.limit is not None and figure.within(check.limit, default)
