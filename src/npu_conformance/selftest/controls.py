"""How others would judge the same traces, from the descriptions of their methods: what a fault must get past there."""

import numpy as np

from npu_conformance.checks.evidence import Evidence

# As in the published reports: seven prompts, and a cosine of 0.999.
_PROMPTS, _COSINE = 7, 0.999
_TOP = 5


def first_tokens(evidence: Evidence) -> bool:
    """Whether the published reports' method sees the fault: seven prompts' first tokens, and their logits' cosine."""
    comparison = evidence.comparison
    first = [bound for bound, end in zip(comparison.bounds, comparison.bounds[1:], strict=False) if end > bound]
    shown = first[:_PROMPTS]
    same, cosines = comparison.matches[shown], comparison.values["cosine"][shown]
    return not (same.all() and (cosines >= _COSINE).all())


def top_five(evidence: Evidence) -> bool:
    """Whether vLLM's published test sees it: where tokens first differ, each is among the other side's top five."""
    for index in range(len(evidence.candidate.answers)):
        fork = evidence.comparison.first_divergence(index)
        if fork is None:
            continue
        mine, theirs = (trace.logits(index)[fork] for trace in (evidence.candidate, evidence.reference))
        if mine.argmax() not in _top(theirs) or theirs.argmax() not in _top(mine):
            return True
    return False


def _top(row: np.ndarray) -> set[int]:
    return set(np.argpartition(row, -_TOP)[-_TOP:].tolist())
