"""No single position is further from the reference than chance lets the worst of so many be."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_worst_positions(judge: Judge) -> None:
    """No single position is further from the reference than chance lets the worst of so many be."""
    judge(gates.worst_positions)
