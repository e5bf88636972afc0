"""Every answer contains what its prompt says it must."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_expected_substrings(judge: Judge) -> None:
    """Every answer contains what its prompt says it must."""
    judge(gates.expected_substrings)
