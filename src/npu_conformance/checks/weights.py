"""What the candidate loaded: the published weights, and the adapter on top of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.scan import hollow
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.config.variants import JUDGED
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Check
from npu_conformance.traces.trace import WITHOUT_ADAPTER, Rows, Trace

# Rounding of the candidate averages out over the vocabulary; a rank, a scale or a layer left out does not.
_SLACK = 0.1


def checkpoint_weights(evidence: Evidence) -> list[Check]:
    """The candidate's weights are the published ones, and look like a trained model's."""
    if evidence.variant not in JUDGED:
        return [not_applicable(evidence, "checkpoint_weights", "weights", "the same weights as base's")]
    suspicions = [str(finding) for finding in evidence.scan.findings if finding.level == "suspicion"]
    tensors = evidence.scan.tensors
    checks = [
        all_of(
            evidence,
            "checkpoint_weights",
            "tensors without suspicious statistics",
            (hollow(tensors) or suspicions) if suspicions else [],
            first(suspicions),
            len(tensors),
            path="none",
        )
    ]
    if (found := evidence.audit) is not None:
        checks.append(
            all_of(
                evidence,
                "checkpoint_weights",
                "parameters equal to the published ones",
                range(max(found.broken, len(found.problems))),
                first(found.problems),
                found.parameters,
                path="none",
            )
        )
    return checks


def adapter_effect(evidence: Evidence) -> list[Check]:
    """The adapter changes the candidate's logits as it changes the reference's."""
    check, metric = "adapter_effect", "adapter's effect, size against the reference's"
    bare, bare_reference = evidence.candidate.part(WITHOUT_ADAPTER), evidence.reference.part(WITHOUT_ADAPTER)
    if bare is None or bare_reference is None:
        why = "the model config has no adapter"
        if evidence.config.adapter is not None:
            why = "the adapter's effect is measured in base and as_served"
        return [not_applicable(evidence, check, metric, why)]
    candidate = _effects(evidence.candidate, bare)
    reference = _effects(evidence.reference, bare_reference)
    if not np.isfinite(candidate).all() or not np.isfinite(reference).all():
        raise TraceError("logits with or without the adapter are not finite: not compared")
    size = float(np.square(reference).sum())
    if not size:
        raise TraceError("the adapter does not change the reference at all: are its weights zero?")
    product = float((candidate * reference).sum())
    # Least squares: the multiple of the reference's change that comes nearest to the candidate's.
    multiple = product / size
    direction = product / (size * float(np.square(candidate).sum()) or float("nan")) ** 0.5
    common: dict[str, Any] = {"check": check, "variant": evidence.variant, "path": "prefill", "n": len(reference)}
    return [
        Check(
            **common,
            metric=metric,
            observed=abs(multiple - 1),
            limit=_SLACK,
            relation="<=",
            verdict="pass" if abs(multiple - 1) <= _SLACK else "fail",
            where=_cause(multiple),
        ),
        Check(
            **common,
            metric="adapter's effect, cosine with the reference's",
            observed=direction,
            limit=1 - _SLACK,
            verdict="pass" if direction >= 1 - _SLACK else "fail",
        ),
    ]


def _effects(adapted: Trace, bare: Trace) -> NDArray[np.float64]:
    """The adapter's change of each prompt's first row, [prompts, vocabulary]."""
    return np.stack([_effect(adapted.logits(i)[0], bare.logits(i)[0]) for i in range(len(bare.answers))])


def _effect(adapted: Rows, bare: Rows) -> NDArray[np.float64]:
    """The change of a logits row [vocabulary]; a common shift of all logits changes no probability and is left out."""
    change = adapted.astype(np.float64) - bare
    return np.asarray(change - change.mean())


def _cause(multiple: float) -> str:
    told = f"the candidate's change is {multiple:.3f} times the reference's"
    if abs(multiple - 1) <= _SLACK:
        return told
    if abs(multiple) <= _SLACK:
        return f"{told}: the engine serves the base model, the adapter is not applied"
    return f"{told}: is its scale (lora_alpha / r) applied twice, or is it another adapter?"
