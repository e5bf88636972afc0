"""The candidate chooses another token than the reference hardly more often than rounding alone does."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_excess_flips(judge: Judge) -> None:
    """The candidate chooses another token than the reference hardly more often than rounding alone does."""
    judge(gates.excess_flips)
