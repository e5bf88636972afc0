"""A campaign: twins, each with all faults at all strengths, judged by the suite and by others' methods."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from npu_conformance.engines.job import FaultsJob, Injection
from npu_conformance.evidence import Evidence, load_evidence, load_floor
from npu_conformance.faults.catalogue import KINDS
from npu_conformance.faults.judging import Judged, judged
from npu_conformance.run.session import Session, Workshop
from npu_conformance.trace import Trace, load_trace

_CLEAN = Injection("nothing", 1.0)
# Engines start once a subject; a fault takes a second or two.
_DEADLINE = 1200.0


def campaign(session: Session, model: str, injections: Sequence[Injection]) -> Iterator[Judged]:
    """Judge faults on a model's twin.

    Args:
        session: made for twins.
        model: name of its config.
        injections: what to put in.

    Raises:
        ConformanceError: the twin cannot be run.
    """
    workshop = session.workshop(model)
    workshop.candidates.make("base", ())
    base = workshop.traces / "base"
    workshop.references.score(base)
    evidence = load_evidence(workshop.traces, "base", session.config(model), realised=load_floor(base))
    folder = workshop.traces / "faults"
    job = _job(workshop, folder, injections)
    workshop.candidates.run(job, f"{model}: faults", job.options, _DEADLINE)
    clean = _trace(folder, _CLEAN)
    for one in injections:
        yield judged(model, one.kind, one.strength, _under(evidence, _trace(folder, one)), clean)


def injections_of(adapted: bool, linear_attention: bool) -> list[Injection]:
    """All kinds that a model can have, at all their strengths."""
    there = {None, *(["lora"] if adapted else []), *(["linear attention"] if linear_attention else [])}
    return [
        Injection(name, strength) for name, kind in KINDS.items() if kind.needs in there for strength in kind.strengths
    ]


def _under(evidence: Evidence, trace: Trace) -> Evidence:
    return replace(evidence, candidate=trace)


def _trace(folder: Path, one: Injection) -> Trace:
    return load_trace(folder / one.label / "candidate")


def _job(workshop: Workshop, folder: Path, injections: Sequence[Injection]) -> FaultsJob:
    base = workshop.candidates.job("base")
    return FaultsJob.model_validate(
        base.model_dump(exclude={"kind"})
        | {"output": folder, "walks": base.output, "manner": "walk", "injections": (_CLEAN, *injections)}
    )
