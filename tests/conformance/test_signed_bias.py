"""The candidate's errors have no direction, as those of rounding have none."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_signed_bias(judge: Judge) -> None:
    """The candidate's errors have no direction, as those of rounding have none."""
    judge(gates.signed_bias)
