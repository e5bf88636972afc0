"""The properties a model must have: one function each, from evidence to checks with a verdict.

Figures are judged by published limits (`figures`), calibrated gates against the noise floor (`noise`); most others are
hard: every case must hold, and there must be one.
"""

from collections.abc import Callable

from npu_conformance.checks.answers import expected_substrings, labels, output_format
from npu_conformance.checks.batches import batch_determinism
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import not_applicable
from npu_conformance.checks.inputs import shared_inputs
from npu_conformance.checks.layers import hidden_states
from npu_conformance.checks.logits import finite_logits, logits_closeness
from npu_conformance.checks.noise import (
    drift,
    error_over_floor,
    excess_flips,
    peak_over_floor,
    signed_bias,
    worst_logits,
    worst_positions,
)
from npu_conformance.checks.paths import decode_against_prefill, prefill_closeness
from npu_conformance.checks.prompts import prompt_tokens
from npu_conformance.checks.regression import regression
from npu_conformance.checks.tokens import greedy_determinism, token_agreement
from npu_conformance.checks.variants import variant_closeness
from npu_conformance.checks.weights import adapter_effect, checkpoint_weights
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Check

__all__ = [
    "CALIBRATED",
    "PROPERTIES",
    "Property",
    "adapter_effect",
    "batch_determinism",
    "checkpoint_weights",
    "decode_against_prefill",
    "drift",
    "error_over_floor",
    "excess_flips",
    "expected_substrings",
    "finite_logits",
    "greedy_determinism",
    "hidden_states",
    "judged_or_error",
    "labels",
    "logits_closeness",
    "output_format",
    "peak_over_floor",
    "prefill_closeness",
    "prompt_tokens",
    "regression",
    "shared_inputs",
    "signed_bias",
    "token_agreement",
    "variant_closeness",
    "worst_logits",
    "worst_positions",
]

Property = Callable[[Evidence], list[Check]]
"""From evidence to checks with a verdict."""

CALIBRATED: tuple[Property, ...] = (
    error_over_floor,
    peak_over_floor,
    signed_bias,
    excess_flips,
    worst_positions,
    worst_logits,
    drift,
)
"""Those that hold a candidate against the noise floor."""

PROPERTIES: tuple[Property, ...] = (
    checkpoint_weights,
    shared_inputs,
    prompt_tokens,
    finite_logits,
    token_agreement,
    logits_closeness,
    *CALIBRATED,
    prefill_closeness,
    decode_against_prefill,
    hidden_states,
    greedy_determinism,
    batch_determinism,
    variant_closeness,
    expected_substrings,
    output_format,
    labels,
    adapter_effect,
    regression,
)
"""All of them; a file each in tests/conformance."""


# What can be said of a variant whose logits were not seen.
_WITHOUT_LOGITS = (shared_inputs, prompt_tokens, variant_closeness, expected_substrings, output_format, labels)
# What a baseline does not tell, which has a few words of each row and no hidden states.
_OF_WHOLE_ROWS = (logits_closeness, prefill_closeness, hidden_states, adapter_effect)


def judged_or_error(property_: Property, evidence: Evidence) -> list[Check]:
    """What the property's function judged.

    A single check in error where the traces do not allow to judge; not applicable where the engine did not do what
    makes the variant; inconclusive, and not passed, where nothing shows whether it did.
    """
    name = property_.__name__
    if evidence.no_effect is not None:
        return [not_applicable(evidence, name, name, f"without effect here: {evidence.no_effect}")]
    if evidence.tokens_only and property_ not in _WITHOUT_LOGITS:
        return [not_applicable(evidence, name, name, f"{evidence.variant} does not let its logits be seen")]
    if evidence.alone and property_ in _OF_WHOLE_ROWS:
        return [not_applicable(evidence, name, name, "judged from the baseline alone, which keeps no whole rows")]
    try:
        return _confirmed(property_(evidence), evidence.unconfirmed)
    except TraceError as error:
        return [Check(check=name, variant=evidence.variant, metric=name, verdict="error", message=str(error))]


def _confirmed(checks: list[Check], unconfirmed: str | None) -> list[Check]:
    """Checks, of which none passes where the variant may have been base again; what fails, fails."""
    if unconfirmed is None:
        return checks
    told = f"asked, not confirmed: nothing in the run shows that {unconfirmed} took effect"
    return [
        check.model_copy(update={"verdict": "inconclusive", "message": "; ".join(filter(None, (told, check.message)))})
        if check.verdict == "pass"
        else check
        for check in checks
    ]
