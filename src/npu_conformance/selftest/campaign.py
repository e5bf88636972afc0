"""A campaign: twins, each with all faults at all strengths, judged by the suite and by others' methods."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.errors import TraceError
from npu_conformance.run.session import Session, Workshop
from npu_conformance.selftest.catalogue import CLEAN, KINDS
from npu_conformance.selftest.judging import Judged, judged
from npu_conformance.traces.trace import Trace, load_trace
from npu_conformance.workers.job import FaultsJob, Injection

_DEADLINE = 1800.0
# Gates have the share of the run's false alarms that they have in a night of five models in eight variants each.
_SHARE = FALSE_ALARMS / 40
# Walks without a fault, before the others and after them.
_FIRST, _LAST = (Injection(CLEAN, number) for number in KINDS[CLEAN].strengths)


def campaign(
    session: Session, model: str, subject: str, kinds: Sequence[str], *, documented: bool = False
) -> Iterator[Judged]:
    """Judge faults that a model can have, and a walk without any.

    Args:
        session: made for twins.
        model: name of its config.
        subject: what results call its twin.
        kinds: of the catalogue.
        documented: each at its documented strength alone; else at all of them.

    Raises:
        ConformanceError: the twin cannot be run, or a fault outlived its walk.
    """
    evidence, workshop = replace(base_evidence(session, model), false_alarms=_SHARE), session.workshop(model)
    folder, injections = workshop.traces / "faults", _injections(workshop, kinds, documented)
    job = _job(workshop, folder, injections)
    workshop.candidates.run(job, f"{subject}: {len(injections)} faults", [job.options], _DEADLINE)
    clean = _trace(folder, _FIRST)
    for one in injections:
        found = judged(subject, one, replace(evidence, candidate=_trace(folder, one)), clean)
        if one == _LAST and found.changed:
            raise TraceError(f"{folder}: after all faults the engine computes something else than before: one is left")
        yield found


def base_evidence(session: Session, model: str) -> Evidence:
    """Run base, its reference and its noise floor.

    Raises:
        ConformanceError: the twin cannot be run.
    """
    session.expect({model: ("base",)})
    return session.evidence(model, "base")


def _injections(workshop: Workshop, kinds: Sequence[str], documented: bool) -> tuple[Injection, ...]:
    """Those of the model's parts, between walks without any."""
    there: set[str | None] = {None}
    if workshop.prepared.adapter is not None:
        there.add("lora")
    if "linear_attention" in json.dumps(workshop.prepared.candidate.config):
        there.add("linear attention")
    faults = tuple(
        Injection(name, strength)
        for name in kinds
        if KINDS[name].needs in there
        for strength in ((KINDS[name].documented,) if documented else KINDS[name].strengths)
    )
    return (_FIRST, *faults, _LAST)


def _trace(folder: Path, one: Injection) -> Trace:
    return load_trace(folder / one.label / "candidate")


def _job(workshop: Workshop, folder: Path, injections: Sequence[Injection]) -> FaultsJob:
    base = workshop.candidates.job("base")
    return FaultsJob.model_validate(
        base.model_dump(exclude={"kind"})
        | {"output": folder, "walks": base.output, "manner": "walk", "injections": injections}
    )
