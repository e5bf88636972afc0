"""Faults of a running engine, judged inside its process and over HTTP: what a server's likeliest words still show."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.errors import TraceError
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.results import worst
from npu_conformance.run.deadlines import USUAL
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.schedule import passes
from npu_conformance.run.session import Session
from npu_conformance.selftest.campaign import SHARE, base_evidence, campaign
from npu_conformance.selftest.catalogue import CLEAN, KINDS
from npu_conformance.selftest.judging import Judged
from npu_conformance.selftest.served import NAME, FaultyServer, faulty_server
from npu_conformance.traces.trace import Trace, load_trace
from npu_conformance.workers.job import CandidateJob

_ENGINE = "openai"


class OverHttp(BaseModel):
    """A kind at its documented strength."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: str
    strength: float
    inside: tuple[str, ...]
    """Checks that fail where the engine is looked into."""
    over_http: tuple[str, ...]
    """Checks that fail where it is a server."""
    same_logits: bool = False
    """Whether it changes nothing that the engine says, on this twin."""


def over_http(session: Session, model: str, subject: str, kinds: Sequence[str]) -> list[OverHttp]:
    """Judge faults of a running model, each at its documented strength, and a run without any first.

    One server takes all of them, one after another.

    Args:
        session: made for twins.
        model: name of its config.
        subject: what results call its twin.
        kinds: of the catalogue; those of weights while they are loaded are left out, for no running server has them.

    Raises:
        ConformanceError: the twin cannot be run, or a fault outlived its run.
    """
    running = [name for name in kinds if KINDS[name].loads is None]
    inside = {one.kind: one for one in campaign(session, model, subject, running, documented=True)}
    kept = [name for name in running if name in inside]
    evidence, model_run = replace(base_evidence(session, model), false_alarms=SHARE), session.model_run(model)
    base, folder = model_run.candidates.job("base"), model_run.traces / "over_http"
    folder.mkdir()
    environment = model_run.candidates.environment(base.options)
    found = []
    with faulty_server(base.checkpoint, base.options, environment, session.folder / f"{subject}-server.txt") as server:
        clean, said = _judged(session, model, model_run, evidence, server, folder / CLEAN)
        found.append(OverHttp(kind=CLEAN, strength=1.0, inside=_failing_inside(inside, CLEAN), over_http=clean))
        for name in kept:
            strength = KINDS[name].documented
            server.put(name, strength)
            failing, _ = _judged(session, model, model_run, evidence, server, folder / name)
            server.heal()
            one = inside[name]
            found.append(
                OverHttp(
                    kind=name,
                    strength=strength,
                    inside=_failing_inside(inside, name),
                    over_http=failing,
                    same_logits=not one.changed,
                )
            )
        _, again = _judged(session, model, model_run, evidence, server, folder / "afterwards")
        if _said(again) != _said(said):
            raise TraceError(f"{folder}: after all faults the server says something else than before: one is left")
    return found


def _failing_inside(inside: Mapping[str, Judged], name: str) -> tuple[str, ...]:
    return (*inside[name].gates, *inside[name].figures)


def _judged(
    session: Session, model: str, model_run: ModelRun, evidence: Evidence, server: FaultyServer, folder: Path
) -> tuple[tuple[str, ...], Trace]:
    """Run the server as a candidate and its reference, as a user does; the checks that fail, and what it said."""
    base = model_run.candidates.job("base")
    job = CandidateJob.model_validate(
        base.model_dump()
        | {"output": folder / "candidate", "engine": _ENGINE, "server": server.url, "served_model": NAME}
    )
    model_run.candidates.run(job, f"{model}: {folder.name} over HTTP", [job.options], USUAL)
    for one in passes(session.config(model), ("base",), quantised=model_run.prepared.quantised):
        model_run.references.score(folder, one.runs)
    mine = replace(
        evidence,
        candidate=load_trace(folder / "candidate"),
        reference=load_trace(folder / "reference"),
        noise=load_floor(folder),
        module_errors=None,
        second_reference=None,
    )
    verdicts = {name: worst(one.verdict for one in check.judge(mine)) for name, check in CHECKS.items()}
    return tuple(name for name, verdict in verdicts.items() if verdict in ("fail", "error")), mine.candidate


def _said(trace: Trace) -> list[tuple[str, ...]]:
    return [trace.topk(index).digests for index in range(len(trace.answers))]


def over_http_table(subject: str, prompts: int, found: Sequence[OverHttp]) -> str:
    """A kind a row, in Markdown."""
    faults = [one for one in found if one.kind != CLEAN and not one.same_logits]
    inside, outside = (sum(bool(getattr(one, side)) for one in faults) for side in ("inside", "over_http"))
    lines = [
        f"Twin `{subject}`, {prompts} prompts, vLLM on the CPU. Of {len(faults)} kinds that change what the twin says, "
        f"{inside} are caught inside the engine and {outside} over HTTP. The server is judged without a fault first.",
        "",
        "| fault | strength | inside the engine | over HTTP |",
        "| --- | --- | --- | --- |",
    ]
    for one in found:
        about = "none" if one.kind == CLEAN else KINDS[one.kind].about
        clean = "pass" if one.kind == CLEAN else "changes nothing here" if one.same_logits else "missed"
        sides = [", ".join(failing) or clean for failing in (one.inside, one.over_http)]
        lines.append(f"| {about} | {one.strength:g} | {' | '.join(sides)} |")
    return "\n".join(lines) + "\n"
