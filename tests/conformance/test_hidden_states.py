"""The candidate's hidden states follow the reference's through every layer."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_hidden_states(judge: Judge) -> None:
    """The candidate's hidden states follow the reference's through every layer."""
    judge(gates.hidden_states)
