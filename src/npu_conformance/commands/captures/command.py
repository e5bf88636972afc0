"""`npu-conformance capture`: one machine's part of a run, as a folder to carry to another."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.commands.captures.manifest import (
    Manifest,
    Role,
    difference,
    open_capture,
    prompts_digest,
    seal,
    tokenizer_digest,
)
from npu_conformance.config.model import config_path, load_config
from npu_conformance.config.variants import JUDGED, needs_base, scored_with
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.machine.storage import digest, link_or_copy, run_folder, staged_dir
from npu_conformance.measure.reference_runs import FLOOR, QUANTISED
from npu_conformance.report.details import SubjectFacts
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.schedule import passes
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator

# What the reference leaves beside a candidate.
_SCORED = ("reference", FLOOR, QUANTISED, "second_reference")


def capture(model: str, output: Path, settings: Settings, variants: Sequence[str], reports: Path) -> int:
    """Run the engines of a model, or make them take the tokens of another capture.

    Args:
        model: name of its config.
        output: folder to make.
        settings: of the run.
        variants: to run; base and as_served where empty.
        reports: folder for logs.

    Raises:
        ConformanceError: the model cannot be run, or the other capture is of something else.
    """
    _refuse_existing(output)
    session = _session(model, settings, reports)
    chosen = tuple(variants) or (JUDGED if settings.tokens is None else ("base",))
    if any(needs_base(variant) for variant in chosen):
        chosen = tuple(dict.fromkeys(["base", *chosen]))
    if settings.tokens is not None and chosen != ("base",):
        raise ConfigError("--tokens: other variants than base take base's tokens anyway: leave out --variants")
    for variant in chosen:
        if variant not in session.variants(model):
            raise ConfigError(f"--variants {variant}: {model} has {', '.join(session.variants(model))}")
        if why := session.why_not(model, variant):
            raise ConfigError(f"--variants {variant}: {why}")
    session.expect({model: chosen})
    model_run = session.model_run(model)
    if settings.tokens is not None:
        theirs = _check_same(settings.tokens, model_run, model)
        if "base" not in theirs.variants:
            raise TraceError(
                f"{settings.tokens}: has no base, whose tokens are to be taken: capture it again with base"
            )
    for variant in chosen:
        model_run.candidates.make(variant, chosen)
    with staged_dir(output) as stage:
        shutil.copytree(session.folder / "traces", stage / "traces", copy_function=link_or_copy)
        _seal(stage, "candidate", model, chosen)
    return _done(output)


def capture_reference(model: str, output: Path, settings: Settings, reports: Path) -> int:
    """Score the tokens of a candidate's capture with the reference, and with the floor runs.

    Raises:
        ConformanceError: the model cannot be run, or the capture is of something else.
    """
    _refuse_existing(output)
    if settings.tokens is None:
        raise ConfigError(
            "--reference: scores the tokens that a candidate chose: name its captured folder with --tokens DIR"
        )
    session = _session(model, settings, reports)
    model_run = session.model_run(model)
    theirs = _check_same(settings.tokens, model_run, model)
    config = session.config(model)
    scored = tuple(dict.fromkeys(scored_with(variant) for variant in theirs.variants))
    for variant in scored:
        place = model_run.traces / variant
        place.mkdir(parents=True, exist_ok=True)
        (place / "candidate").symlink_to((settings.tokens / theirs.traces / variant / "candidate").resolve())
    for one in passes(config, scored, quantised=model_run.prepared.quantised):
        model_run.references.score(model_run.traces / one.variant, one.runs)
    with staged_dir(output) as stage:
        for variant in scored:
            for part in _SCORED:
                if (made := model_run.traces / variant / part).is_dir():
                    shutil.copytree(made, stage / theirs.traces / variant / part, copy_function=link_or_copy)
        for name in ("rendered.json", "subject.json"):
            shutil.copyfile(model_run.traces / name, stage / theirs.traces / name)
        _seal(stage, "reference", model, scored)
    return _done(output)


def _session(model: str, settings: Settings, reports: Path) -> Session:
    load_config(config_path(settings.configs, model))  # a name that is none makes no folder
    folder = run_folder(reports, f"capture-{model}")
    return Session(settings, folder, Narrator())


def _check_same(folder: Path, model_run: ModelRun, model: str) -> Manifest:
    """Hold the other capture against what this machine has, before anything is computed.

    Raises:
        TraceError: it is damaged, or of something else; says of what.
    """
    theirs = open_capture(folder)
    facts, rendered = _facts(model_run.traces), load_rendered(model_run.traces / "rendered.json")
    mine = theirs.model_copy(
        update={
            "model": model,
            "subject": facts.kind,
            "prompts": prompts_digest(rendered),
            "prompt_ids": digest([list(ids) for ids in rendered.prompt_ids]),
            "tokenizer": tokenizer_digest(Path(facts.reference_weights)),
            "reference_weights": facts.reference_digest,
            "adapter": facts.adapter_digest,
        }
    )
    if theirs.role != "candidate":
        raise TraceError(f"{folder}: is a reference's capture: --tokens takes a candidate's")
    if why := difference(theirs, mine):
        raise TraceError(f"{folder}: {why} on this machine: nothing could be compared")
    return theirs


def _seal(stage: Path, role: Role, model: str, variants: tuple[str, ...]) -> None:
    traces = stage / "traces" / model
    seal(stage, role, model, variants, traces / "rendered.json", _facts(traces))


def _facts(traces: Path) -> SubjectFacts:
    return SubjectFacts.model_validate_json((traces / "subject.json").read_bytes())


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise ConfigError(f"-o {output}: exists: name a folder that is to be made")


def _done(output: Path) -> int:
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: {size / 2**20:.1f} MiB")
    return 0
