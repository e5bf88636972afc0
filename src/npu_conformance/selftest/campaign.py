"""A campaign: twins, each with all faults at all strengths, judged by the suite and by others' methods."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from npu_conformance.checks.evidence import Evidence
from npu_conformance.errors import TraceError
from npu_conformance.measure.module_errors import MODULE_ERRORS, load_module_errors
from npu_conformance.run.deadlines import USUAL
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.session import Session
from npu_conformance.run.shares import share_of
from npu_conformance.selftest.catalogue import CLEAN, KINDS
from npu_conformance.selftest.judging import Judged, judged
from npu_conformance.traces.module_states import holds_module_states
from npu_conformance.traces.trace import Trace, load_trace
from npu_conformance.workers.job import FaultsJob, Injection

# Seconds that an engine may take for each: the slowest twin takes 13 to 20 on one core.
_DEADLINE_OF_A_FAULT = 60.0
# Gates have the share of the run's false alarms that they have in a night of five models in eight variants each.
SHARE = share_of("base", 5 * ["base", "as_served", *["another"] * 6])
# Forced decodes without a fault, before the others and after them.
_FIRST, _LAST = (Injection(CLEAN, number) for number in KINDS[CLEAN].strengths)


def campaign(
    session: Session, model: str, subject: str, kinds: Sequence[str], *, documented: bool = False
) -> Iterator[Judged]:
    """Judge faults that a model can have, and a forced decode without any.

    Args:
        session: made for twins.
        model: name of its config.
        subject: what results call its twin.
        kinds: of the catalogue.
        documented: each at its documented strength alone; else at all of them.

    Raises:
        ConformanceError: the twin cannot be run, or a fault outlived its forced decode.
    """
    evidence, model_run = replace(base_evidence(session, model), false_alarms=SHARE), session.model_run(model)
    folder, injections = model_run.traces / "faults", _injections(model_run, kinds, documented)
    job, deadline = _job(model_run, folder, injections), max(USUAL, _DEADLINE_OF_A_FAULT * len(injections))
    model_run.candidates.run(job, f"{subject}: {len(injections)} faults", [job.options], deadline)
    _measure_modules(model_run, folder, injections, subject)
    clean = _trace(folder, _FIRST)
    for one in injections:
        errors = load_module_errors(folder / one.label / MODULE_ERRORS)
        found = judged(subject, one, replace(evidence, candidate=_trace(folder, one), module_errors=errors), clean)
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


def _injections(model_run: ModelRun, kinds: Sequence[str], documented: bool) -> tuple[Injection, ...]:
    """Those of the model's parts, between forced decodes without any."""
    there: set[str | None] = {None}
    if model_run.prepared.adapter is not None:
        there.add("lora")
    if model_run.prepared.candidate.experts:
        there.add("experts")
    if "linear_attention" in json.dumps(model_run.prepared.candidate.config):
        there.add("linear attention")
    faults = tuple(
        Injection(name, strength)
        for name in kinds
        if KINDS[name].needs in there
        for strength in ((KINDS[name].documented,) if documented else KINDS[name].strengths)
    )
    return (_FIRST, *faults, _LAST)


def _measure_modules(model_run: ModelRun, folder: Path, injections: Sequence[Injection], subject: str) -> None:
    """Have the reference compute the attentions and MLPs of each fault again, where they could be seen."""
    places = [folder / one.label for one in injections if holds_module_states(folder / one.label / "candidate")]
    if places:
        measured = {place / MODULE_ERRORS: place / "candidate" for place in places}
        model_run.references.measure_modules(measured, f"{subject}: modules", _DEADLINE_OF_A_FAULT * len(places))


def _trace(folder: Path, one: Injection) -> Trace:
    return load_trace(folder / one.label / "candidate")


def _job(model_run: ModelRun, folder: Path, injections: Sequence[Injection]) -> FaultsJob:
    base = model_run.candidates.job("base")
    return FaultsJob.model_validate(
        base.model_dump(exclude={"kind"})
        | {"output": folder, "tokens_of": base.output, "mode": "forced", "injections": injections}
    )
