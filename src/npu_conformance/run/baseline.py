"""From the traces of a run to the file of a baseline."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from npu_conformance.baselines.keeping import reference_files
from npu_conformance.baselines.packed import Packed
from npu_conformance.baselines.positions import StoredPrompt, StoredReference, StoredRun
from npu_conformance.baselines.stored import Baseline, Change, Identity
from npu_conformance.checks.evidence import Evidence
from npu_conformance.machine.provenance import Provenance
from npu_conformance.measure.metrics import choice, root_mean_square
from npu_conformance.measure.results import Result
from npu_conformance.measure.topk import WORDS as FLOOR_WORDS
from npu_conformance.measure.topk import TopK, fewer, join, likeliest, topk
from npu_conformance.traces.performance import Performance
from npu_conformance.traces.trace import Trace

LARGEST = 300_000
"""Bytes that a file should stay below, for git keeps every one that ever was."""
# Words a position, the most that fit; fewer than a choice and its runners-up would say nothing of ties, so that very
# many positions make a larger file.
_WORDS = (FLOOR_WORDS, 12, 10, 8, 6, 5)
# Kept of a trace's provenance.
_PROVENANCE = ("engine", "platform", "device", "versions", "effective", "environment", "setting")


def make_baseline(
    evidence: Evidence,
    checks: Sequence[Result],
    *,
    model: str,
    platform: str,
    facts: Mapping[str, Any],
    change: Change,
    before: Baseline | None,
    performance: Performance | None = None,
) -> Baseline:
    """A baseline of a run of base.

    Args:
        evidence: of base, with reference and noise floor.
        checks: of the model, for its figures.
        model: its name.
        platform: that the engine ran on.
        facts: the subject's, as the run saved them.
        change: why it is written.
        before: the one that it replaces, for the history.
        performance: the engine's speed, where it was measured.
    """
    figures = _figures(checks)
    change = change.model_copy(update={"figures": figures.get("base", {})})
    for words in _WORDS:
        baseline = Baseline(
            model=model,
            platform=platform,
            subject=facts["kind"],
            identity=Identity(
                reference=facts["reference_digest"],
                reference_files=reference_files(facts),
                adapter=facts.get("adapter_digest"),
            ),
            weights=facts["weights_digest"],
            candidate=_provenance(evidence.candidate),
            reference_by=_provenance(evidence.reference),
            history=(*(before.history if before else ()), change),
            figures=figures,
            performance=performance,
            eos_token_ids=evidence.candidate.eos_token_ids,
            pieces=pieces_of(evidence),
            **stored_arrays(evidence, words),
        ).sealed()
        if len(baseline.text().encode()) <= LARGEST:
            break
    return baseline


def stored_arrays(evidence: Evidence, count: int) -> dict[str, Any]:
    """All that has a value a position."""
    reference = evidence.reference
    judged = [reference.judged(index) for index in range(len(reference.answers))]
    rows = [reference.logits(index)[:n] for index, n in enumerate(judged)]
    # Of those that floor runs were kept over: of equal logits fewer words may be others.
    words = np.concatenate([likeliest(one, FLOOR_WORDS)[:, :count] for one in rows])
    exact = _topk(reference, words, judged)
    floor = evidence.noise.runs if evidence.noise else {}
    return {
        "prompts": tuple(
            StoredPrompt(
                id=answer.prompt,
                prompt_ids=Packed.of(answer.prompt_ids, "int32"),
                token_ids=Packed.of(answer.token_ids[:n], "int32"),
                text=answer.text,
            )
            for answer, n in zip(evidence.candidate.answers, judged, strict=True)
        ),
        "reference": StoredReference(
            words=Packed.of(words, "int32"),
            log_probs=Packed.of(exact.log_probs, "float32"),
            tail=Packed.of(exact.tail, "float32"),
            size=Packed.of(np.concatenate([root_mean_square(one) for one in rows]), "float32"),
            texts=tuple(answer.text for answer in reference.answers),
        ),
        "run": StoredRun.of(_topk(evidence.candidate, words, judged), exact),
        "floor": {name: StoredRun.of(fewer(run.topk, count), exact) for name, run in floor.items()},
    }


def _topk(trace: Trace, words: np.ndarray, judged: Sequence[int]) -> TopK:
    starts = np.cumsum([0, *judged])
    return join(
        [
            topk(trace.logits(index)[:n], words[start : start + n])
            for index, (start, n) in enumerate(zip(starts, judged, strict=False))
        ]
    )


def _provenance(trace: Trace) -> Provenance:
    return cast(Provenance, {name: trace.provenance[name] for name in _PROVENANCE if name in trace.provenance})


def pieces_of(evidence: Evidence) -> dict[int, str]:
    """Text of the tokens that were taken or chosen."""
    seen: set[int] = set()
    for trace in (evidence.candidate, evidence.reference):
        for index, answer in enumerate(trace.answers):
            seen |= {*answer.token_ids, *choice(trace.logits(index)).tolist()}
    return {token: text for token, text in evidence.reference.pieces.items() if token in seen}


def _figures(checks: Sequence[Result]) -> dict[str, dict[str, float]]:
    """What was observed, by variant and by check and metric: several checks have a figure of one name."""
    found: dict[str, dict[str, float]] = {}
    for check in checks:
        if check.observed is not None and check.path != "none":
            parts = [check.metric, *([] if check.at == "answers" else [check.at])]
            parts += [] if check.path == "decode" else [check.path]
            name = f"{check.check}: {', '.join(parts)}"
            found.setdefault(check.variant, {}).setdefault(name, check.observed)
    return found
