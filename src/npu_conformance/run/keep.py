"""After a run that was asked to: the baselines of the models that passed."""

from collections.abc import Iterator
from datetime import datetime, timezone

from npu_conformance.baselines.keeping import Action, baseline_path, refusal, write_baseline
from npu_conformance.baselines.make import make_baseline
from npu_conformance.baselines.stored import Change, read_baseline
from npu_conformance.errors import ConformanceError
from npu_conformance.evidence import load_evidence
from npu_conformance.floor import load_floor
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.run.accepted import platform_of
from npu_conformance.run.session import Session


def keep_baselines(session: Session, report: Report) -> Iterator[str]:
    """Write what the command line asked for; a line a model that says what became of it.

    Args:
        session: of the run.
        report: of the run.
    """
    if session.settings.baseline not in ("create", "update"):
        return
    for model in report.models:
        try:
            yield _keep(session, model, report.run.command)
        except ConformanceError as error:
            yield f"{model.name}: no baseline written: {error}"


def _keep(session: Session, model: ModelReport, command: str) -> str:
    settings = session.settings
    action: Action = "update" if settings.baseline == "update" else "create"
    path = baseline_path(settings.baselines, model.name, platform_of(settings), session.kind(model.name))
    traces = (settings.from_dir or session.folder) / "traces" / model.name
    why = refusal(
        action,
        path,
        model.checks,
        model.not_judged,
        own_weights=bool(settings.candidate_weights or settings.candidate_adapter),
        alone=not (traces / "base" / "reference").is_dir(),
    )
    if why is not None or model.facts is None:
        return f"{model.name}: no baseline written: {why or 'its facts were not saved'}"
    evidence = load_evidence(traces, "base", session.config(model.name), noise=load_floor(traces / "base"))
    now = datetime.now(timezone.utc).replace(microsecond=0)
    baseline = make_baseline(
        evidence,
        model.checks,
        model=model.name,
        platform=platform_of(settings),
        facts=model.facts.model_dump(mode="json"),
        change=Change(date=now, action=action, reason=settings.reason or command, figures={}),
        before=read_baseline(path) if action == "update" else None,
    )
    write_baseline(path, baseline)
    words = baseline.words.shape[1]
    return f"{model.name}: {path}: {action}d, {path.stat().st_size / 1e3:.0f} kB, {words} words a position"
