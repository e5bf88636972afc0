"""Config and tokenizer are read by engine and reference as a second reading of their files says."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_shared_inputs(judge: Judge) -> None:
    """Config and tokenizer are read by engine and reference as a second reading of their files says."""
    judge(gates.shared_inputs)
