"""Faults of a running engine, judged inside its process and over HTTP: what a server's likeliest words still show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """A kind, from its documented strength on until it is caught over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: str
    documented: float
    inside: tuple[str, ...]
    """Checks that fail at that strength where the engine is looked into."""
    strength: float
    """The strongest that was tried over HTTP."""
    over_http: tuple[str, ...]
    """Checks that fail at it where the engine is a server."""
    same_logits: bool = False
    """Whether it changes nothing that the engine says, on this twin."""


def over_http(session: Session, model: str, subject: str, kinds: Sequence[str]) -> list[OverHttp]:
    """Judge faults of a running model, from its documented strength on until it is caught, and a run without any first.

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
    log = session.folder / f"{subject}-server.txt"
    with faulty_server(base.checkpoint, base.options, environment, log) as server:
        rounds = _Rounds(session, model, model_run, evidence, server, folder)
        clean, said = rounds.judged("clean")
        found = [OverHttp(kind=CLEAN, documented=1, inside=_failing(inside[CLEAN]), strength=1, over_http=clean)]
        found += [rounds.until_caught(inside[name]) for name in kept]
        _, again = rounds.judged("afterwards")
        if _said(again) != _said(said):
            raise TraceError(f"{folder}: after all faults the server says something else than before: one is left")
    return found


def _failing(one: Judged) -> tuple[str, ...]:
    return (*one.gates, *one.figures)


@dataclass(frozen=True)
class _Rounds:
    """Runs of one server as a candidate, each with another fault."""

    session: Session
    model: str
    model_run: ModelRun
    evidence: Evidence
    server: FaultyServer
    folder: Path

    def until_caught(self, inside: Judged) -> OverHttp:
        """A kind from its documented strength on, until a check fails."""
        name, failing = inside.kind, tuple[str, ...]()
        documented, strengths = KINDS[name].documented, KINDS[name].strengths
        strength = documented
        for stronger in strengths[strengths.index(documented) :]:
            strength = stronger
            self.server.put(name, strength)
            failing, _ = self.judged(f"{name}@{strength:g}")
            self.server.heal()
            if failing or not inside.changed:
                break
        return OverHttp(
            kind=name,
            documented=documented,
            inside=_failing(inside),
            strength=strength,
            over_http=failing,
            same_logits=not inside.changed,
        )

    def judged(self, label: str) -> tuple[tuple[str, ...], Trace]:
        """Run the server and the reference, as a user does; the checks that fail, and what it said."""
        candidates, place = self.model_run.candidates, self.folder / label
        asked = {"output": place / "candidate", "engine": _ENGINE, "server": self.server.url, "served_model": NAME}
        job = CandidateJob.model_validate(candidates.job("base").model_dump() | asked)
        candidates.run(job, f"{self.model}: {label} over HTTP", [job.options], USUAL)
        for one in passes(self.session.config(self.model), ("base",), quantised=self.model_run.prepared.quantised):
            self.model_run.references.score(place, one.runs)
        evidence = replace(
            self.evidence,
            candidate=load_trace(place / "candidate"),
            reference=load_trace(place / "reference"),
            noise=load_floor(place),
            module_errors=None,
            second_reference=None,
        )
        verdicts = {name: worst(one.verdict for one in check.judge(evidence)) for name, check in CHECKS.items()}
        failing = tuple(name for name, verdict in verdicts.items() if verdict in ("fail", "error"))
        return failing, evidence.candidate


def _said(trace: Trace) -> list[tuple[str, ...]]:
    return [trace.topk(index).digests for index in range(len(trace.answers))]


def over_http_table(subject: str, prompts: int, found: Sequence[OverHttp]) -> str:
    """A kind a row, in Markdown."""
    faults = [one for one in found if one.kind != CLEAN and not one.same_logits]
    inside = sum(bool(one.inside) for one in faults)
    same = sum(bool(one.over_http) and one.strength == one.documented for one in faults)
    caught = sum(bool(one.over_http) for one in faults)
    lines = [
        f"Twin `{subject}`, {prompts} prompts, vLLM on the CPU. Of {len(faults)} kinds that change what the twin says, "
        f"{inside} are caught inside the engine at their documented strength, {same} over HTTP at the same strength, "
        f"and {caught} over HTTP at that or a stronger one of [faults.md](faults.md).",
        "",
        "| fault | documented | inside the engine, at that strength | over HTTP, from | over HTTP |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in found:
        about = "none" if one.kind == CLEAN else KINDS[one.kind].about
        nothing = "pass" if one.kind == CLEAN else "changes nothing here" if one.same_logits else "missed"
        inside_by, outside_by = (", ".join(failing) or nothing for failing in (one.inside, one.over_http))
        first = f"{one.strength:g}" if one.over_http else "—"
        lines.append(f"| {about} | {one.documented:g} | {inside_by} | {first} | {outside_by} |")
    return "\n".join(lines) + "\n"
