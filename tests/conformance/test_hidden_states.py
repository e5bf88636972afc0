"""The candidate's hidden states follow the reference's through every layer."""

from npu_conformance import gates
from npu_conformance.plugin import Judge


def test_hidden_states(judge: Judge) -> None:
    """The candidate's hidden states follow the reference's through every layer."""
    judge(gates.hidden_states)
