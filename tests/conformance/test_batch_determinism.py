"""A request's tokens do not depend on what else is in the batch, and neither do its logits beyond rounding."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_batch_determinism(judge: Judge) -> None:
    """A request's tokens do not depend on what else is in the batch, and neither do its logits beyond rounding."""
    judge(gates.batch_determinism)
