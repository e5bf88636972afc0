"""The current baseline, brought into a model's folder of traces, and the tokens it makes engines take."""

from pathlib import Path

from npu_conformance.baselines.against import other_prompts
from npu_conformance.baselines.keeping import Kind, baseline_path, find_baseline, outdated, platform_of
from npu_conformance.baselines.stored import tokens_to_force
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.checks.saved import BASELINE
from npu_conformance.config.engines import DEFAULT
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.machine.devices import find_devices
from npu_conformance.machine.storage import write_text
from npu_conformance.report.details import SubjectFacts
from npu_conformance.run.settings import Settings
from npu_conformance.traces.trace import save_trace

_TOKENS = "baseline_tokens"
"""Trace of its tokens, in the model's folder of traces."""


def place_of(settings: Settings, model: str, kind: Kind) -> tuple[str, Path]:
    """The platform that a run will be of, and where the baseline of a model on it is, or would be."""
    platform = platform_of({"platform": find_devices(settings.device)[0], "engine": settings.candidate or DEFAULT})
    return platform, baseline_path(settings.baselines, model, platform, kind)


def bring_baseline(settings: Settings, subject: Subject, traces: Path) -> Path | None:
    """Copy a subject's baseline to its traces, so that they can be judged again as they were.

    Args:
        settings: the command line's.
        subject: whose.
        traces: its folder, with its facts and the rendered prompts.

    Returns:
        A trace of its tokens, which engines are to take; None unless the run is to be judged by it only.

    Raises:
        ConfigError: the baseline is damaged or misplaced, or there is none and the run is to be judged by it only.
        TraceError: it is of other weights or prompts, likewise.
    """
    platform, place = place_of(settings, subject.name, subject.kind)
    found = find_baseline(settings.baselines, subject.name, platform, subject.kind)
    if found is not None:
        write_text(traces / BASELINE, found[0].read_text(encoding="utf-8"))
    if settings.baseline != "only":
        return None
    if found is None:
        raise ConfigError(f"--baseline=only: there is no {place}: make it with --baseline=create, in a run that passes")
    path, baseline = found
    rendered = load_rendered(traces / "rendered.json")
    facts = SubjectFacts.model_validate_json((traces / "subject.json").read_bytes())
    prompts = zip([prompt.id for prompt in rendered.prompts], rendered.prompt_ids, strict=True)
    if why := outdated(baseline, facts.model_dump()) or other_prompts(prompts, baseline):
        raise TraceError(f"{path}: {why}")
    folder = traces / _TOKENS
    folder.mkdir(parents=True, exist_ok=True)
    save_trace(folder, tokens_to_force(baseline), eos_token_ids=baseline.eos_token_ids, provenance={}, forced=True)
    return folder
