"""The candidate's error does not grow along its answers more than the noise floor's does."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_drift(judge: Judge) -> None:
    """The candidate's error does not grow along its answers more than the noise floor's does."""
    judge(gates.drift)
