"""Every answer has the format its prompt set asks for."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_output_format(judge: Judge) -> None:
    """Every answer has the format its prompt set asks for."""
    judge(gates.output_format)
