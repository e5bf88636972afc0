"""Decode and prefill of the same engine give the same logits, up to the dtype's rounding."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_decode_against_prefill(judge: Judge) -> None:
    """Decode and prefill of the same engine give the same logits, up to the dtype's rounding."""
    judge(gates.decode_against_prefill)
