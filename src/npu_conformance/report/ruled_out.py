"""What passes are worth: the smallest faults that the recorded campaign says they would have caught."""

from collections.abc import Iterator, Sequence

from npu_conformance.faults.recorded import would_have_caught
from npu_conformance.report.part import Part
from npu_conformance.results import Check, worst


class RuledOut(Part):
    """Of a property that passed."""

    variant: str
    check: str
    """The property."""
    faults: dict[str, float]
    """By kind, the weakest strength at which the property caught it on every twin: see docs/faults.md."""


def ruled_out(checks: Sequence[Check], variant: str, prompts: int) -> Iterator[RuledOut]:
    """The properties that passed and that the campaign knows.

    Args:
        checks: of a model.
        variant: whose are meant.
        prompts: that it was judged on; nothing is said of fewer than the campaign had.
    """
    own = [check for check in checks if check.variant == variant]
    for name in dict.fromkeys(check.check for check in own):
        passed = worst(check.verdict for check in own if check.check == name) == "pass"
        if passed and (faults := would_have_caught(name, prompts)):
            yield RuledOut(variant=variant, check=name, faults=dict(faults))
