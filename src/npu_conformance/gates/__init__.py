"""The properties a model must have: one function each, from evidence to checks with a verdict.

The figures among them are judged in `figures`; all others are hard: every case must hold, and there must be one.
"""

from collections.abc import Callable

from npu_conformance.errors import TraceError
from npu_conformance.evidence import Evidence
from npu_conformance.gates.answers import expected_substrings, labels, output_format
from npu_conformance.gates.layers import hidden_states
from npu_conformance.gates.logits import finite_logits, logits_closeness
from npu_conformance.gates.prompts import prompt_tokens
from npu_conformance.gates.tokens import greedy_determinism, token_agreement
from npu_conformance.gates.weights import adapter_effect, checkpoint_weights
from npu_conformance.results import Check

__all__ = [
    "PROPERTIES",
    "adapter_effect",
    "checkpoint_weights",
    "expected_substrings",
    "finite_logits",
    "greedy_determinism",
    "hidden_states",
    "judged_or_error",
    "labels",
    "logits_closeness",
    "output_format",
    "prompt_tokens",
    "token_agreement",
]

PROPERTIES: tuple[Callable[[Evidence], list[Check]], ...] = (
    checkpoint_weights,
    prompt_tokens,
    finite_logits,
    token_agreement,
    logits_closeness,
    hidden_states,
    greedy_determinism,
    expected_substrings,
    output_format,
    labels,
    adapter_effect,
)
"""All of them; a file each in tests/conformance."""


def judged_or_error(property_: Callable[[Evidence], list[Check]], evidence: Evidence) -> list[Check]:
    """What the property's function judged; a single check in error where the traces do not allow to judge."""
    try:
        return property_(evidence)
    except TraceError as error:
        name = property_.__name__
        return [Check(check=name, variant=evidence.variant, metric=name, verdict="error", message=str(error))]
