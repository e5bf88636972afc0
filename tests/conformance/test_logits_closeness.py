"""The candidate's logits stay within the dtype's limits of the reference's."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_logits_closeness(judge: Judge) -> None:
    """The candidate's logits stay within the dtype's limits of the reference's."""
    judge(gates.logits_closeness)
