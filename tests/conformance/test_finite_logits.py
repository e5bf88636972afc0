"""Every logit at every position is a finite number, on both sides."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_finite_logits(judge: Judge) -> None:
    """Every logit at every position is a finite number, on both sides."""
    judge(gates.finite_logits)
