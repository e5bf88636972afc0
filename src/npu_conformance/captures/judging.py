"""`npu-conformance compare` of two captures: put together what two machines made, and judge it as one run."""

import dataclasses
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from npu_conformance.captures.manifest import MANIFEST, Manifest, difference, open_capture
from npu_conformance.config import config_path, load_config
from npu_conformance.errors import TraceError
from npu_conformance.figures import judge_figure
from npu_conformance.gates import PROPERTIES, judged_or_error
from npu_conformance.limits import AGREEMENT_FIGURES, CLOSENESS_FIGURES
from npu_conformance.pair import Pair
from npu_conformance.progress import Narrator
from npu_conformance.report.model import build_report, describe_run
from npu_conformance.report.write import summary_lines, write_report
from npu_conformance.results import Check, worst
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.saved import load_evidence
from npu_conformance.storage import staged_dir
from npu_conformance.trace import PREFILL, load_trace
from npu_conformance.variants import scored_with


def is_capture(folder: Path) -> bool:
    """Whether a folder was captured; else it is a run's report folder."""
    return (folder / MANIFEST).is_file()


def compare_captures(first: Path, second: Path, settings: Settings, reports: Path) -> int:
    """Judge two captures of the same tokens; 0 where nothing fails, else 1.

    Args:
        first: a candidate's capture; or the reference's of the other's tokens.
        second: the other.
        settings: of the command line.
        reports: folder in which the report's folder is made.

    Raises:
        TraceError: one is damaged, or they cannot be compared; says why.
    """
    captures = {folder: open_capture(folder) for folder in (first, second)}
    ours = captures[first]
    if why := difference(ours, captures[second]):
        raise TraceError(f"{first} and {second}: {why}: nothing can be compared")
    references = [folder for folder, one in captures.items() if one.role == "reference"]
    if len(references) == 2:
        raise TraceError(f"{first} and {second}: both are the reference's: one candidate's is needed")
    if not references:
        return _two_candidates(first, second, ours, captures[second], settings)
    reference = references[0]
    candidate = second if reference == first else first
    return _judge(candidate, captures[candidate], reference, captures[reference], settings, reports)


def _judge(candidate: Path, run: Manifest, reference: Path, scores: Manifest, settings: Settings, reports: Path) -> int:
    """As one run that had both."""
    for variant, tokens in scores.tokens.items():
        if run.tokens.get(variant) != tokens:
            raise TraceError(
                f"{reference}: scored other tokens of {variant} than {candidate} has: capture the reference again with "
                f"--tokens {candidate}"
            )
    if lacking := {scored_with(variant) for variant in run.variants} - scores.tokens.keys():
        raise TraceError(f"{reference}: has no scores of {', '.join(sorted(lacking))}: capture the reference again")
    folder = reports / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-compare-{run.model}"
    with staged_dir(folder / "traces" / run.model) as stage:
        # The reference's first: what both have, such as the subject's facts, is to be the candidate's.
        for source in (reference / scores.traces, candidate / run.traces):
            shutil.copytree(source, stage, dirs_exist_ok=True)
    session = Session(dataclasses.replace(settings, from_dir=folder), folder, Narrator())
    session.expect({run.model: run.variants})
    checks: list[Check] = []
    for variant in run.variants:
        evidence = session.evidence(run.model, variant)
        checks += [check for property_ in PROPERTIES for check in judged_or_error(property_, evidence)]
    told = describe_run(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]), Path.cwd(), folder)
    report = build_report(folder, {run.model: checks}, {run.model: run.subject}, told, settings.baselines)
    write_report(report, folder)
    print(*summary_lines(report, folder), sep="\n")
    return int(worst(check.verdict for check in checks) in ("fail", "error"))


def _two_candidates(first: Path, second: Path, ours: Manifest, theirs: Manifest, settings: Settings) -> int:
    """Two engines over the same tokens: the published figures between them, without a reference."""
    if ours.tokens.get("base") is None or ours.tokens.get("base") != theirs.tokens.get("base"):
        raise TraceError(
            f"{first} and {second}: the engines chose other tokens, so their positions cannot be compared: capture the "
            f"second with --tokens {first}"
        )
    config = load_config(config_path(settings.configs, ours.model))
    evidence = load_evidence(first / ours.traces, "base", config, reference=load_trace(_base(second, theirs)))
    sides = (first.name, second.name)
    pairs = {"decode": Pair(evidence.candidate, evidence.reference, evidence.reference, sides)}
    prefills = [trace.part(PREFILL) for trace in (evidence.candidate, evidence.reference)]
    if prefills[0] is not None and prefills[1] is not None:
        pairs["prefill"] = Pair(prefills[0], prefills[1], evidence.reference, sides)
    checks = [
        (path, judge_figure(evidence, pair, "two engines", figure))
        for path, pair in pairs.items()
        for figure in (*AGREEMENT_FIGURES, *CLOSENESS_FIGURES)
    ]
    _print(ours, sides, checks)
    return int(worst(check.verdict for _, check in checks) == "fail")


def _base(folder: Path, manifest: Manifest) -> Path:
    return folder / manifest.traces / "base" / "candidate"


def _print(manifest: Manifest, sides: tuple[str, str], checks: list[tuple[str, Check]]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    kind = " (twin, not the model)" if manifest.subject == "twin" else ""
    table = Table(title=f"{manifest.model}{kind}: {sides[0]} against {sides[1]}", box=None, pad_edge=False)
    for name in ("path", "figure", "observed", "limit", "n", "verdict"):
        table.add_column(name, overflow="fold")
    for path, check in checks:
        limit = "—" if check.limit is None else f"{check.relation} {check.limit:g}"
        table.add_row(path, check.metric, f"{check.observed:.6g}", limit, str(check.n), check.verdict)
    console.print(table)
    for path, check in checks:
        if check.verdict == "fail":
            console.print(f"{path}, {check.metric}: worst at {check.where}", soft_wrap=True)
