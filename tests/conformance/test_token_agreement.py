"""The candidate's greedy token is the reference's choice after the same prefix."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_token_agreement(judge: Judge) -> None:
    """The candidate's greedy token is the reference's choice after the same prefix."""
    judge(gates.token_agreement)
