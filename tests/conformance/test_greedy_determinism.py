"""The same prompts again, in the same engine, give the same tokens and bitwise the same logits."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_greedy_determinism(judge: Judge) -> None:
    """The same prompts again, in the same engine, give the same tokens and bitwise the same logits."""
    judge(gates.greedy_determinism)
