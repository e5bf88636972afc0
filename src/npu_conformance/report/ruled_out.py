"""What passes are worth: the smallest faults that the recorded campaign says they would have caught."""

from collections.abc import Iterator, Sequence

from npu_conformance.config.limits import FIGURES
from npu_conformance.faults.recorded import would_have_caught
from npu_conformance.measure.results import Check, worst
from npu_conformance.report.part import Part
from npu_conformance.variants import JUDGED


class RuledOut(Part):
    """Of a property that passed."""

    variant: str
    check: str
    """The property."""
    faults: dict[str, float]
    """By kind, the weakest strength from which on the property caught it on every twin: see docs/faults.md."""


def ruled_out(checks: Sequence[Check], variant: str, prompts: int, *, adapter: bool) -> Iterator[RuledOut]:
    """The properties that passed, where they were judged as in the campaign: as strictly, in base or as served.

    Args:
        checks: of a model.
        variant: whose are meant.
        prompts: that it was judged on; nothing is said of fewer than the campaign had.
        adapter: whether the model has a LoRA.
    """
    own = [check for check in checks if check.variant == variant]
    for name in dict.fromkeys(check.check for check in own if variant in JUDGED):
        mine = [check for check in own if check.check == name]
        if worst(check.verdict for check in mine) != "pass" or not all(map(_strict, mine)):
            continue
        if faults := dict(would_have_caught(name, prompts, parts=("lora",) if adapter else ())):
            yield RuledOut(variant=variant, check=name, faults=faults)


def _strict(check: Check) -> bool:
    """Whether a check was judged by a limit no wider than the campaign's, which is bfloat16's."""
    figure = FIGURES.get(check.metric)
    default = None if figure is None else figure.default_limit("bfloat16")
    if figure is None or default is None:
        return True
    return check.limit is not None and figure.within(check.limit, default)
