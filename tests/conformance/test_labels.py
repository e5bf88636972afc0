"""The candidate's label is the reference's, and the expected one."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_labels(judge: Judge) -> None:
    """The candidate's label is the reference's, and the expected one."""
    judge(gates.labels)
