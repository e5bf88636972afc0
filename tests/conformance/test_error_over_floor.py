"""The candidate's error, in decode and in prefill, is no larger than what rounding alone costs the model."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_error_over_floor(judge: Judge) -> None:
    """The candidate's error, in decode and in prefill, is no larger than what rounding alone costs the model."""
    judge(gates.error_over_floor)
