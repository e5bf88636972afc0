"""What the candidate loaded: the published weights, and the adapter on top of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.scan import hollow
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, by_limit, first
from npu_conformance.checks.registry import check
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Result
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import WITHOUT_ADAPTER, Trace

# Rounding of the candidate averages out over the vocabulary; a rank, a scale or a layer left out does not.
_SLACK = 0.1
_FIRST = slice(1)


@check(
    chinese="被测的权重就是发布的权重，其统计量也像训练过的模型。",
    requires=("weights",),
    metrics=("unsuspicious_tensors", "published_parameters"),
    cause="input",
)
def checkpoint_weights(evidence: Evidence) -> list[Result]:
    """The candidate's weights are the published ones, and look like a trained model's."""
    suspicions = [str(finding) for finding in evidence.scan.findings if finding.level == "suspicion"]
    tensors = evidence.scan.tensors
    checks = [
        all_of(
            evidence,
            "checkpoint_weights",
            "unsuspicious_tensors",
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
                "published_parameters",
                range(max(found.broken, len(found.problems))),
                first(found.problems),
                found.parameters,
                path="none",
            )
        )
    return checks


@check(
    chinese="适配器对被测 logits 的改变与对参考的改变一致。",
    requires=("full_reference", "full_logits", "adapter"),
    metrics=("adapter_size", "adapter_cosine"),
)
def adapter_effect(evidence: Evidence) -> list[Result]:
    """The adapter changes the candidate's logits as it changes the reference's."""
    bare, bare_reference = evidence.candidate.part(WITHOUT_ADAPTER), evidence.reference.part(WITHOUT_ADAPTER)
    if bare is None or bare_reference is None:
        return []
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
    common: dict[str, Any] = {
        "check": "adapter_effect",
        "variant": evidence.variant,
        "path": "prefill",
        "n": len(reference),
    }
    return [
        Result(
            **common,
            metric="adapter_size",
            observed=abs(multiple - 1),
            limit=_SLACK,
            relation="<=",
            verdict=by_limit(abs(multiple - 1), _SLACK, "<="),
            where=_cause(multiple),
        ),
        Result(
            **common,
            metric="adapter_cosine",
            observed=direction,
            limit=1 - _SLACK,
            verdict=by_limit(direction, 1 - _SLACK, ">="),
        ),
    ]


def _effects(adapted: Trace, bare: Trace) -> NDArray[np.float64]:
    """The adapter's change of each prompt's first row, [prompts, vocabulary]."""
    return np.stack(
        [_effect(adapted.logits(i, _FIRST)[0], bare.logits(i, _FIRST)[0]) for i in range(len(bare.answers))]
    )


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
