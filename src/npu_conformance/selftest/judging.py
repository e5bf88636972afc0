"""What the suite, and others' methods, make of a trace that was walked under a fault."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from npu_conformance import checks as gates
from npu_conformance.checks.evidence import Evidence
from npu_conformance.selftest.controls import first_tokens, top_five
from npu_conformance.traces.trace import Trace
from npu_conformance.workers.job import Injection

HARD = (gates.prompt_tokens, gates.finite_logits, gates.greedy_determinism)
FIGURES = (
    gates.token_agreement,
    gates.logits_closeness,
    gates.prefill_closeness,
    gates.decode_against_prefill,
    gates.hidden_states,
)


class Judged(BaseModel):
    """One fault at one strength on one twin."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    subject: str
    """The twin."""
    prompts: int
    kind: str
    strength: float
    hidden_states: bool
    """Whether it changed a hidden state."""
    logits: bool
    """Whether it changed a logit."""
    gates: tuple[str, ...]
    """Hard and calibrated gates that fail."""
    figures: tuple[str, ...]
    """Checks of figures with a limit that fail."""
    first_tokens: bool
    """Whether the published reports' method sees it."""
    top_five: bool
    """Whether vLLM's published test sees it."""

    @property
    def changed(self) -> bool:
        """Whether it did anything."""
        return self.hidden_states or self.logits

    @property
    def caught(self) -> bool:
        """By any gate or figure."""
        return bool(self.gates or self.figures)


def judged(subject: str, one: Injection, evidence: Evidence, clean: Trace) -> Judged:
    """Judge a trace.

    Args:
        subject: the twin's name.
        one: the fault.
        evidence: on base, with the fault's trace for candidate.
        clean: the same walk without a fault.
    """
    return Judged(
        subject=subject,
        prompts=len(evidence.candidate.answers),
        kind=one.kind,
        strength=one.strength,
        hidden_states=_states_differ(evidence.candidate, clean),
        logits=_logits_differ(evidence.candidate, clean),
        gates=_failing(evidence, (*HARD, *gates.CALIBRATED)),
        figures=_failing(evidence, FIGURES),
        first_tokens=first_tokens(evidence),
        top_five=top_five(evidence),
    )


def _failing(evidence: Evidence, properties: tuple[gates.Property, ...]) -> tuple[str, ...]:
    found = {one.__name__: gates.judged_or_error(one, evidence) for one in properties}
    return tuple(name for name, checks in found.items() if any(check.verdict in ("fail", "error") for check in checks))


def _states_differ(trace: Trace, clean: Trace) -> bool:
    mine, theirs = trace.layers(), clean.layers()
    return mine is not None and theirs is not None and not np.array_equal(mine.states, theirs.states)


def _logits_differ(trace: Trace, clean: Trace) -> bool:
    pairs = [(trace, clean), (trace.part("prefill"), clean.part("prefill"))]
    return any(
        not np.array_equal(mine.logits(index), theirs.logits(index))
        for mine, theirs in pairs
        if mine is not None and theirs is not None
        for index in range(len(clean.answers))
    )
