"""The candidate's largest error of any one logit is no larger than what rounding alone costs the model."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_peak_over_floor(judge: Judge) -> None:
    """The candidate's largest error of any one logit is no larger than what rounding alone costs the model."""
    judge(gates.peak_over_floor)
