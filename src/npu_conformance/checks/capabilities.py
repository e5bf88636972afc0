"""What a check may require of a run, and why a run may lack it: the one place where that is said."""

from collections.abc import Callable, Mapping
from typing import Literal

from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.engines import DEFAULT, engine
from npu_conformance.config.variants import JUDGED, is_served
from npu_conformance.traces.trace import PREFILL, WITHOUT_ADAPTER

Capability = Literal[
    "own_prompts", "weights", "modules", "topk", "full_logits", "full_reference", "floor", "prefill", "hidden_states",
    "module_errors", "repeat", "batches", "base", "adapter", "quantisation", "served", "served_adapter",
]  # fmt: skip
"""`topk`: at least the likeliest words of each row were captured; `full_logits`: the candidate's whole rows;
`full_reference`: the reference's."""
LOGITS: frozenset[Capability] = frozenset({"topk", "full_logits", "full_reference", "base"})
"""Of these, what is read in logits."""


def lacks(evidence: Evidence, capability: Capability) -> str | None:
    """Why a run has nothing for a check that requires this; None where it has."""
    return _LACKS[capability](evidence)


def whole_rows(evidence: Evidence) -> bool:
    """Whether candidate and reference can be compared by whole rows."""
    return not any(lacks(evidence, one) for one in ("full_logits", "full_reference"))


def _own_prompts(evidence: Evidence) -> str | None:
    return "this variant uses texts of the suite, given as token ids" if evidence.long_texts else None


def _weights(evidence: Evidence) -> str | None:
    return None if evidence.variant in JUDGED else "the same weights as base's"


def _modules(evidence: Evidence) -> str | None:
    remote = engine(evidence.candidate.provenance.get("engine", DEFAULT)).remote
    return "a server does not tell what its modules were made with" if remote else None


def _topk(evidence: Evidence) -> str | None:
    return f"{evidence.variant} does not let its logits be seen" if evidence.tokens_only else None


def _full_logits(evidence: Evidence) -> str | None:
    if evidence.candidate.rows == "topk":
        return "the engine gives only the k likeliest tokens of each position, no whole rows of logits"
    return _topk(evidence)


def _full_reference(evidence: Evidence) -> str | None:
    few = evidence.reference.rows == "topk"
    return "judged by the baseline only, which keeps no whole rows" if few else None


def _floor(evidence: Evidence) -> str | None:
    return evidence.no_floor


def _prefill(evidence: Evidence) -> str | None:
    if evidence.candidate.part(PREFILL) is not None:
        return None
    if evidence.variant not in JUDGED:
        return "prefill is captured in base and as_served"
    return "the engine's prefill path was not captured"


def _hidden_states(evidence: Evidence) -> str | None:
    if evidence.baseline_only:
        return "judged by the baseline only, which keeps no hidden states"
    if evidence.variant != "base":
        return "hidden states are kept in base only"
    both = evidence.candidate.layers() is not None and evidence.reference.layers() is not None
    return None if both else "no decoder layers were found"


def _module_errors(evidence: Evidence) -> str | None:
    if evidence.variant != "base":
        return "attentions and MLPs are looked at in base only"
    if evidence.config.serve.dtype == "float32":
        return "in float32 the reference's attentions and MLPs round as the candidate's do"
    if evidence.layers_floor is not None:
        return None
    if (
        evidence.module_errors is not None
        or engine(evidence.candidate.provenance.get("engine", DEFAULT)).floor_arithmetic
    ):
        return "the candidate's attentions and MLPs compute as the floor's do"
    return "what the engine's attentions and MLPs were given and gave could not be seen"


def _repeat(evidence: Evidence) -> str | None:
    answers = evidence.candidate.answers
    once = any(one.repeat_token_ids is None or one.repeat_digests is None for one in answers)
    return "the trace holds no second run" if once else None


def _batches(evidence: Evidence) -> str | None:
    if evidence.candidate.cases():
        return None
    return f"other batches {'were not tried' if evidence.variant in JUDGED else 'are tried in base and as_served'}"


def _base(evidence: Evidence) -> str | None:
    if evidence.long_texts:
        return "this variant uses texts of the suite, which base did not see"
    if evidence.base is None:
        return "base and as_served are compared with the reference only"
    return None if evidence.tokens_only else _full_logits(evidence)


def _adapter(evidence: Evidence) -> str | None:
    if all(one.part(WITHOUT_ADAPTER) is not None for one in (evidence.candidate, evidence.reference)):
        return None
    if evidence.config.adapter is None:
        return "the model config has no adapter"
    return "the adapter's effect is measured in base and as_served"


def _quantisation(evidence: Evidence) -> str | None:
    if evidence.quantised is not None:
        return None
    if evidence.config.scheme is not None:
        return f"codes of {evidence.config.scheme} in this format are not computed here"
    return "the checkpoint does not ask for quantised activations"


def _served(evidence: Evidence) -> str | None:
    return None if is_served(evidence.variant) else "a server is asked in serving only"


def _served_adapter(evidence: Evidence) -> str | None:
    if (why := _served(evidence)) is not None:
        return why
    return None if evidence.config.adapter is not None else "the model config has no adapter"


_LACKS: Mapping[Capability, Callable[[Evidence], str | None]] = {
    "own_prompts": _own_prompts,
    "weights": _weights,
    "modules": _modules,
    "topk": _topk,
    "full_logits": _full_logits,
    "full_reference": _full_reference,
    "floor": _floor,
    "prefill": _prefill,
    "hidden_states": _hidden_states,
    "module_errors": _module_errors,
    "repeat": _repeat,
    "batches": _batches,
    "base": _base,
    "adapter": _adapter,
    "quantisation": _quantisation,
    "served": _served,
    "served_adapter": _served_adapter,
}
