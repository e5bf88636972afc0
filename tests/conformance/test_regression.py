"""Since its baseline the engine's error did not grow, and its tokens are no more often not the reference's."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_regression(judge: Judge) -> None:
    """Since its baseline the engine's error did not grow, and its tokens are no more often not the reference's."""
    judge(gates.regression)
