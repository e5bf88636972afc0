"""The candidate's weights are the published ones, and look like a trained model's."""

from npu_conformance import checks as gates
from npu_conformance.plugin import Judge


def test_checkpoint_weights(judge: Judge) -> None:
    """The candidate's weights are the published ones, and look like a trained model's."""
    judge(gates.checkpoint_weights)
