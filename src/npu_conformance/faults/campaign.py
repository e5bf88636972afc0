"""A campaign: twins, each with all faults at all strengths, judged by the suite and by others' methods."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from npu_conformance.engines.job import FaultsJob, Injection
from npu_conformance.evidence import Evidence, load_evidence
from npu_conformance.faults.catalogue import CLEAN, KINDS
from npu_conformance.faults.judging import Judged, judged
from npu_conformance.floor import load_floor
from npu_conformance.run.session import Session, Workshop
from npu_conformance.trace import Trace, load_trace

# An engine starts once a subject; a fault takes a second or two.
_DEADLINE = 1800.0


def campaign(session: Session, model: str, subject: str) -> Iterator[Judged]:
    """Judge all faults that a model can have, at all their strengths, and a walk without any.

    Args:
        session: made for twins.
        model: name of its config.
        subject: what results call its twin.

    Raises:
        ConformanceError: the twin cannot be run.
    """
    workshop = session.workshop(model)
    workshop.candidates.make("base", ())
    base = workshop.traces / "base"
    workshop.references.score(base)
    evidence = load_evidence(workshop.traces, "base", session.config(model), noise=load_floor(base))
    folder, injections = workshop.traces / "faults", _injections(workshop)
    job = _job(workshop, folder, injections)
    workshop.candidates.run(job, f"{subject}: {len(injections)} faults", job.options, _DEADLINE)
    clean = _trace(folder, Injection(CLEAN, 1.0))
    for one in injections:
        yield judged(subject, one, _under(evidence, _trace(folder, one)), clean)


def _injections(workshop: Workshop) -> tuple[Injection, ...]:
    """Those of the model's parts, the clean one first."""
    there: set[str | None] = {None}
    if workshop.prepared.adapter is not None:
        there.add("lora")
    if "linear_attention" in json.dumps(workshop.prepared.candidate.config):
        there.add("linear attention")
    return tuple(
        Injection(name, strength) for name, kind in KINDS.items() if kind.needs in there for strength in kind.strengths
    )


def _under(evidence: Evidence, trace: Trace) -> Evidence:
    return replace(evidence, candidate=trace)


def _trace(folder: Path, one: Injection) -> Trace:
    return load_trace(folder / one.label / "candidate")


def _job(workshop: Workshop, folder: Path, injections: Sequence[Injection]) -> FaultsJob:
    base = workshop.candidates.job("base")
    return FaultsJob.model_validate(
        base.model_dump(exclude={"kind"})
        | {"output": folder, "walks": base.output, "manner": "walk", "injections": injections}
    )
