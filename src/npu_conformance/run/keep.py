"""After a run that was asked to: the baselines of the models that passed."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from npu_conformance.baselines.keeping import Action, baseline_path, misplaced, platform_of, refusal, write_baseline
from npu_conformance.baselines.stored import Change, read_baseline
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.saved import load_evidence
from npu_conformance.config.prompts import load_prompts
from npu_conformance.errors import ConformanceError
from npu_conformance.measure.floor import load_floor
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.run.baseline import LARGEST, make_baseline
from npu_conformance.run.session import Session
from npu_conformance.traces.performance import load_performance


class KeptBaseline(NamedTuple):
    """What became of a model's baseline."""

    line: str
    written: bool


def keep_baselines(session: Session, report: Report) -> Iterator[KeptBaseline]:
    """Write what the command line asked for, a model after the other.

    Args:
        session: of the run.
        report: of the run.
    """
    action = session.settings.baseline
    if action not in ("create", "update"):
        return
    for model in report.models:
        try:
            yield KeptBaseline(f"{model.name}: {_keep(session, model, action, report.run.command)}", True)
        except (ConformanceError, OSError) as error:
            yield KeptBaseline(f"{model.name}: no baseline written: {error}", False)


def _keep(session: Session, model: ModelReport, action: Action, command: str) -> str:
    settings, facts = session.settings, model.facts
    traces = (settings.from_dir or session.folder) / "traces" / model.name
    why = refusal(model.checks, model.not_judged, own_weights=facts is not None and facts.own_weights)
    if why is not None or facts is None:
        raise ConformanceError(why or "its facts were not saved")
    if not (traces / "base" / "reference").is_dir():
        raise ConformanceError("was judged by a baseline itself, without a reference")
    evidence = load_evidence(traces, "base", session.config(model.name), noise=load_floor(traces / "base"))
    require_all_prompts(session, model.name, evidence)
    platform = platform_of(evidence.candidate.provenance)
    path = baseline_path(settings.baselines, model.name, platform, session.kind(model.name))
    if why := misplaced(action, path):
        raise ConformanceError(why)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    baseline = make_baseline(
        evidence,
        model.checks,
        model=model.name,
        platform=platform,
        facts=facts.model_dump(mode="json"),
        change=Change(date=now, action=action, reason=settings.reason or command, figures={}),
        before=read_baseline(path) if action == "update" else None,
        performance=load_performance(traces),
    )
    write_baseline(path, baseline)
    size, words = path.stat().st_size, baseline.words.shape[1]
    large = f", more than the {LARGEST // 1000} kB that suit git: fewer prompts or tokens would do"
    return f"{path}: {action}d, {size / 1e3:.0f} kB, {words} words a position{large if size > LARGEST else ''}"


def require_all_prompts(session: Session, model: str, evidence: Evidence) -> None:
    """Refuse a run of fewer prompts than the config's: later ones could not be judged by it. More are welcome."""
    settings = session.settings
    expected = [prompt.id for prompt in load_prompts(session.config(model).prompts, settings.prompts_dir, None)]
    if [prompt.id for prompt in evidence.prompts][: len(expected)] != expected:
        raise ConformanceError(
            f"{len(evidence.prompts)} prompts were judged, not all of the model config's {len(expected)}: leave out "
            "--prompts, or ask for more"
        )
