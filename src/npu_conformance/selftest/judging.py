"""What the suite, and others' methods, make of a trace that was forced under a fault."""

from collections.abc import Mapping
from math import inf, isfinite

import numpy as np
from pydantic import BaseModel, ConfigDict

from npu_conformance.checks import CALIBRATED, CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.results import Result
from npu_conformance.selftest.controls import first_tokens, top_five
from npu_conformance.traces.trace import Trace
from npu_conformance.workers.job import Injection

HARD = ("prompt_tokens", "finite_logits", "greedy_determinism")
_GATES = tuple(gate.id for gate in CALIBRATED)
FIGURES = ("token_agreement", "logits_closeness", "prefill_closeness", "decode_against_prefill", "hidden_states")


class Judged(BaseModel):
    """One fault at one strength on one twin."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    subject: str
    """The twin."""
    prompts: int
    positions: int
    """That were judged."""
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
    allowed: dict[str, float]
    """The most that each calibrated gate allowed, on any path; without those that have no limit."""
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
        clean: the same forced decode without a fault.
    """
    found = {name: CHECKS[name].judge(evidence) for name in (*HARD, *_GATES, *FIGURES)}
    return Judged(
        subject=subject,
        prompts=len(evidence.candidate.answers),
        positions=len(evidence.comparison),
        kind=one.kind,
        strength=one.strength,
        hidden_states=_states_differ(evidence.candidate, clean),
        logits=_logits_differ(evidence.candidate, clean),
        gates=_failing(found, (*HARD, *_GATES)),
        figures=_failing(found, FIGURES),
        allowed={gate: most for gate in _GATES if isfinite(most := _allowed(found[gate]))},
        first_tokens=first_tokens(evidence),
        top_five=top_five(evidence),
    )


def _failing(found: Mapping[str, list[Result]], checks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check for check in checks if any(one.verdict in ("fail", "error") for one in found[check]))


def _allowed(results: list[Result]) -> float:
    """The widest limit of a gate's results; infinite where one has none."""
    return max((inf if one.limit is None else one.limit for one in results), default=inf)


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
