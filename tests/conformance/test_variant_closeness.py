"""What the variant changes of base changes no token, and no logit beyond rounding."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_variant_closeness(judge: Judge) -> None:
    """What the variant changes of base changes no token, and no logit beyond rounding."""
    judge(gates.variant_closeness)
