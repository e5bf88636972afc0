"""The adapter changes the candidate's logits as it changes the reference's."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_adapter_effect(judge: Judge) -> None:
    """The adapter changes the candidate's logits as it changes the reference's."""
    judge(gates.adapter_effect)
