"""Candidate and reference were given the same token ids, as the engine's own tokenisation makes them."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_prompt_tokens(judge: Judge) -> None:
    """Candidate and reference were given the same token ids, as the engine's own tokenisation makes them."""
    judge(gates.prompt_tokens)
