"""The logits of one prefill over prompt and answer stay within the dtype's limits of the reference's."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_prefill_closeness(judge: Judge) -> None:
    """The logits of one prefill over prompt and answer stay within the dtype's limits of the reference's."""
    judge(gates.prefill_closeness)
