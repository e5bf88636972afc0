"""From the evidence of a run's base to the data of a hand-in."""

from typing import Any

import numpy as np

from npu_conformance.baselines.packed import Packed
from npu_conformance.checks.evidence import Evidence
from npu_conformance.commands.hand_in.data import LARGEST, NEAR_ONE, HandedData, StoredDeviations
from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.deviations import Deviations
from npu_conformance.report.details import SubjectFacts
from npu_conformance.run.baseline import pieces_of, stored_arrays

# Words a position, the most that fit; 5 are a choice and its runners-up, of which ties are made.
_WORDS = (16, 12, 10, 8, 6, 5)


def make_data(evidence: Evidence, model: str, facts: SubjectFacts) -> HandedData:
    """The data of a model's base.

    Args:
        evidence: of base, with reference and noise floor.
        model: its name.
        facts: the subject's.

    Raises:
        TraceError: the run has no whole rows of both sides, or logits that are not finite.
    """
    if not all(side.rows == "full" and side.has_rows for side in (evidence.candidate, evidence.reference)):
        raise TraceError(
            f"{evidence.candidate.folder}: whole rows of logits of base and of its reference are needed, and the run "
            "has them not: run the model again, on an engine that gives them"
        )
    if evidence.candidate.forced:
        raise TraceError(
            f"{evidence.candidate.folder}: took given tokens, so that none are its own: run the model again"
        )
    require_finite(evidence.comparison)
    common = _measured(evidence) | {
        "model": model,
        "subject": facts.kind,
        "routed": evidence.routed,
        "quantised": evidence.quantised is not None,
        "false_alarms": evidence.false_alarms,
        "reference_digest": facts.reference_digest,
        "vocabulary": evidence.reference.logits(0, slice(0, 1)).shape[1],
        "eos_token_ids": evidence.candidate.eos_token_ids,
        "pieces": pieces_of(evidence),
        "asked": evidence.prompts,
    }
    for words in _WORDS:
        kept = stored_arrays(evidence, words)
        del kept["floor"]
        found = HandedData(**common, **kept).sealed()
        if len(found.packed()) <= LARGEST:
            break
    return found


def _measured(evidence: Evidence) -> dict[str, Any]:
    """What was measured of whole rows."""
    comparison, prefill = evidence.comparison, evidence.prefill_deviations
    return {
        "values": {
            name: Packed.of(1 - values if name in NEAR_ONE else values, "float32")
            for name, values in comparison.values.items()
        },
        "token_logits": Packed.of(comparison.token_logits, "float32"),
        "own_shortfall": Packed.of(comparison.own_shortfall, "float32"),
        "deviations": _stored(comparison.deviations, exact=True),
        "prefill_row": None if prefill is None else Packed.of(prefill.row, "float32"),
        "floor": {name: _stored(one, exact=False) for name, one in evidence.floor.items()},
    }


def _stored(one: Deviations, *, exact: bool) -> StoredDeviations:
    """Of a floor run, spreads are made of many errors of leads: half precision is enough for each."""
    return StoredDeviations(
        row=Packed.of(one.row, "float32"),
        logit=Packed.of(one.logit, "float32"),
        gain=Packed.of(one.gain, "float32" if exact else "float16"),
        difference=Packed.of(np.nan_to_num(one.difference), "float32" if exact else "float16"),
    )
