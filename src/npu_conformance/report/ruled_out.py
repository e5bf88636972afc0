"""What passes are worth: the smallest faults that the recorded campaign says they would have caught."""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from npu_conformance.config.limits import FIGURES
from npu_conformance.config.variants import JUDGED
from npu_conformance.measure.results import Result, worst
from npu_conformance.report.part import Part

CAUGHT = Path(__file__).with_name("caught.json")
"""Written by `npu-conformance faults --record`: what each property caught in the recorded campaign."""


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
    caught: tuple[Caught, ...]


class RuledOut(Part):
    """Of a property that passed."""

    variant: str
    check: str
    """The property."""
    faults: dict[str, float]
    """By kind, the weakest strength from which on the property caught it on every twin: see docs/faults.md."""


def ruled_out(checks: Sequence[Result], variant: str, prompts: int, parts: Collection[str]) -> Iterator[RuledOut]:
    """The properties that passed, where they were judged as in the campaign: as strictly, in base or as served.

    Args:
        checks: of a model.
        variant: whose are meant.
        prompts: that it was judged on; nothing is said of fewer than the campaign had.
        parts: that the model has and others have not, by the names that kinds of faults have for them.
    """
    own = [check for check in checks if check.variant == variant]
    for name in dict.fromkeys(check.check for check in own if variant in JUDGED):
        mine = [check for check in own if check.check == name]
        if worst(check.verdict for check in mine) != "pass" or not all(map(_strict, mine)):
            continue
        if faults := _would_have_caught(name, prompts, parts):
            yield RuledOut(variant=variant, check=name, faults=faults)


def _would_have_caught(check: str, prompts: int, parts: Collection[str]) -> dict[str, float]:
    recorded = _recorded()
    # The campaign says nothing of a run on fewer prompts.
    if recorded is None or prompts < recorded.prompts:
        return {}
    return {one.kind: one.strength for one in recorded.caught if one.check == check and one.needs in (None, *parts)}


@cache
def _recorded() -> AllCaught | None:
    return AllCaught.model_validate_json(CAUGHT.read_bytes()) if CAUGHT.is_file() else None


def _strict(check: Result) -> bool:
    """Whether a check was judged by a limit no wider than the campaign's, which is bfloat16's."""
    figure = FIGURES.get(check.metric)
    default = None if figure is None else figure.default_limit("bfloat16")
    if figure is None or default is None:
        return True
    return check.limit is not None and figure.within(check.limit, default)
