"""`npu-conformance deliver`: writes the hand-in of a model, from its YAML and its last run."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from npu_conformance.baselines.keeping import outdated
from npu_conformance.checks.saved import load_baseline, load_evidence
from npu_conformance.commands.console import say
from npu_conformance.commands.hand_in.data import HandedData
from npu_conformance.commands.hand_in.findings import Finding
from npu_conformance.commands.hand_in.making import make_data
from npu_conformance.commands.hand_in.manifest import Manifest, suite_code, write_manifest
from npu_conformance.commands.hand_in.patch import Tree, known_tree, read_tree
from npu_conformance.commands.hand_in.published import DATA, REPORT, rendered, texts, yaml_place
from npu_conformance.commands.hand_in.subject import TWIN, Subject
from npu_conformance.commands.hand_in.verify import checked
from npu_conformance.config.identity import config_digest
from npu_conformance.config.model import ModelConfig, config_path, load_config
from npu_conformance.errors import ConfigError, TraceError, printable
from npu_conformance.machine.provenance import package_versions
from npu_conformance.machine.storage import staged_dir, write_text
from npu_conformance.measure.floor import load_floor, load_quantised
from npu_conformance.report.details import SubjectFacts
from npu_conformance.report.history import saved_runs
from npu_conformance.report.model import ModelReport, Report, load_report
from npu_conformance.run.shares import share_of
from npu_conformance.traces.sealed import require_sealed

# Of a log, its end.
_LOG = 200_000
_MOST_RUNS = 3


def deliver(model: str, output: Path, run: Path, configs: Path, vllm_ascend: Path | None) -> int:
    """Write a hand-in, whole or not at all; 0.

    Args:
        model: name of its config.
        output: folder to make.
        run: report folder of a run that judged it.
        configs: folder of model configs.
        vllm_ascend: checkout that the patch is for; the snapshot that the suite knows where None.

    Raises:
        ConfigError: the folder is there already, or the config is not the run's.
        TraceError: the run has not what a hand-in needs, or it does not follow from its own data.
    """
    if output.exists() or output.is_symlink():
        raise ConfigError(f"-o {output}: is there already: name a folder that is to be made")
    report = load_report(run)
    whole, tree = _of_model(report, model, run), known_tree() if vllm_ascend is None else read_tree(vllm_ascend)
    path = config_path(configs, model)
    config = load_config(path)
    facts = _facts(whole, config, path, run)
    data = _data(report, run, model, config, facts)
    subject = Subject(
        report.model_copy(update={"models": [whole]}),
        config,
        data.asked,
        max(prompt.prompt_ids.shape[0] for prompt in data.prompts),
    )
    with staged_dir(output) as stage:
        _write(stage, subject, data, tree, path)
        for name, text in _logs(run, report, model).items():
            write_text(stage / "logs" / name, text)
        write_manifest(stage, _manifest(subject, tree))
        _refuse_what_does_not_follow(list(checked(stage)), model)
    files = [one for one in output.rglob("*") if one.is_file()]
    say(f"{output}: {len(files)} files, {sum(one.stat().st_size for one in files) / 1e6:.1f} MB")
    say(f"data of both sides: {(output / DATA).stat().st_size / 1e3:.0f} kB, {data.words.shape[1]} words a position")
    if subject.twin:
        say(f"{TWIN.split('.')[0]}.")
    say(f"anybody can check it: npu-conformance verify {output}")
    return 0


def _of_model(report: Report, model: str, run: Path) -> ModelReport:
    found = next((one for one in report.models if one.name == model), None)
    if found is None:
        there = ", ".join(one.name for one in report.models) or "none"
        raise ConfigError(f"{model}: was not judged in {run} (models: {there}): {_other_run(model, run)}")
    if not _has_base(found):
        raise TraceError(f"{model}: its base was not judged in {run} ({found.verdict}): {_other_run(model, run)}")
    return found


def _has_base(model: ModelReport) -> bool:
    return model.facts is not None and any(one.variant == "base" and one.positions for one in model.variants)


def _other_run(model: str, run: Path) -> str:
    """The newest runs beside it that have traces of base: `latest` is whatever was run or judged again last."""
    having = [
        f"{one.folder} ({own.verdict})"
        for one in saved_runs(run.parent)[0]
        for own in one.report.models
        if own.name == model and _has_base(own) and (one.folder / "traces" / model / "base").is_dir()
    ]
    return f"name one with --run: {', '.join(having[-_MOST_RUNS:]) or f'no run in {run.parent} has it'}"


def _facts(model: ModelReport, config: ModelConfig, path: Path, run: Path) -> SubjectFacts:
    facts = model.facts
    assert facts is not None  # noqa: S101 (see `_of_model`)
    if config_digest(config) != facts.config_digest:
        raise ConfigError(
            f"{path}: is not the config that {run} judged: judge the model again, or put the config back; a hand-in "
            "says nothing that was not measured"
        )
    return facts


def _data(report: Report, run: Path, model: str, config: ModelConfig, facts: SubjectFacts) -> HandedData:
    places = [
        run / "traces" / model,
        *([Path(report.run.judged_from) / "traces" / model] if report.run.judged_from else []),
    ]
    traces = next((place for place in places if place.is_dir()), None)
    if traces is None:
        raise TraceError(f"{places[-1]}: is not there: a hand-in is made of a run's traces: run the model again")
    require_sealed(traces, ["base"])
    evidence = load_evidence(
        traces,
        "base",
        config,
        noise=load_floor(traces / "base"),
        quantised=load_quantised(traces / "base"),
        false_alarms=_share(report, traces, facts),
    )
    return make_data(evidence, model, facts)


def _share(report: Report, traces: Path, facts: SubjectFacts) -> float:
    """Base's share of the run's false alarms, as the session that judged it gave it."""
    pairs = {(one.name, check.variant) for one in report.models for check in one.checks if check.verdict != "skipped"}
    share = share_of("base", [variant for _, variant in sorted(pairs)])
    baseline = load_baseline(traces)
    held = baseline is not None and outdated(baseline, facts.model_dump(mode="json")) is None
    return share / 2 if held else share


def _write(stage: Path, subject: Subject, data: HandedData, tree: Tree, config: Path) -> None:
    mark = f"# {subject.twin}\n" if subject.twin else ""
    copied = {
        REPORT: subject.report.model_dump_json() + "\n",
        yaml_place(subject.name): mark + config.read_text(encoding="utf-8"),
    }
    for name, text in {**texts(subject, data, tree), **copied}.items():
        write_text(stage / name, text)
        if name.endswith(".sh"):
            (stage / name).chmod(0o755)
    for name, content in rendered(subject, pictures=True).items():
        (stage / name).write_bytes(content)
    (stage / DATA).write_bytes(data.packed())
    for use in subject.config.prompts:  # sets of one's own, so that the hand-in is whole
        if (own := config.parent / "prompts" / f"{use.set}.yaml").is_file():
            write_text(stage / "evidence" / "prompts" / own.name, mark + own.read_text(encoding="utf-8"))


def _manifest(subject: Subject, tree: Tree) -> Manifest:
    return Manifest(
        model=subject.name,
        subject=subject.model.subject,
        note=subject.twin,
        suite=package_versions().get("npu-conformance", "unknown"),
        code=suite_code(),
        tree=tree.commit,
        files={},
    )


def _logs(run: Path, report: Report, model: str) -> dict[str, str]:
    """Logs of a model's jobs, the last part of long ones; a twin's are marked."""
    others = [f"{one.name}-" for one in report.models if one.name != model and one.name.startswith(model)]
    mark = f"# {TWIN}\n" if any(one.name == model and one.subject == "twin" for one in report.models) else ""
    found = {place.name: text for place, text in _texts(run, model, others)}
    # A folder is named by its job and something that no other has; jobs of one name need both.
    jobs = Counter(_job(name) for name in found)
    return {f"{_job(name) if jobs[_job(name)] == 1 else name}.log": mark + text for name, text in found.items()}


def _job(name: str) -> str:
    return name.rpartition("-")[0]


def _texts(run: Path, model: str, others: list[str]) -> Iterator[tuple[Path, str]]:
    for place in sorted((run / "logs").glob(f"{model}-*")):
        log = place / "log.txt"
        if log.is_file() and not any(place.name.startswith(other) for other in others):
            yield place, printable(log.read_text(encoding="utf-8", errors="replace")[-_LOG:])


def _refuse_what_does_not_follow(found: list[Finding], model: str) -> None:
    wrong = [one for one in found if one.status == "does not follow"]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
        raise TraceError(
            f"{model}: {wrong[0].what}: {wrong[0].why}{more}: the report does not follow from the run's traces: judge "
            "them again with pytest --from, then deliver again"
        )
