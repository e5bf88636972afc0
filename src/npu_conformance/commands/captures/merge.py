"""`npu-conformance merge`: put together what two machines made, and judge it as one run."""

import dataclasses
import shutil
import sys
from pathlib import Path

from npu_conformance.checks import CHECKS
from npu_conformance.commands.captures.engines import compare_engines
from npu_conformance.commands.captures.manifest import Manifest, difference, open_capture
from npu_conformance.config.variants import scored_with
from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import run_folder, staged_dir
from npu_conformance.measure.results import Result, worst
from npu_conformance.report.messages import typed
from npu_conformance.report.model import build_report, describe_run
from npu_conformance.report.terminal import rendered, summary_lines
from npu_conformance.report.write import write_report
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.traces.sealed import seal
from npu_conformance.workers.progress import Narrator


def merge(first: Path, second: Path, settings: Settings, reports: Path) -> int:
    """Judge two captures of the same tokens; 0 where nothing fails, else 1.

    Args:
        first: a candidate's capture; or the reference's of the other's tokens.
        second: the other.
        settings: of the command line.
        reports: folder in which the report's folder is made.

    Raises:
        TraceError: one is damaged, or they cannot be compared; says why.
    """
    if first.resolve() == second.resolve():
        raise TraceError(f"{first} and {second}: are one folder: name two captures")
    captures = {folder: open_capture(folder) for folder in (first, second)}
    ours = captures[first]
    if why := difference(ours, captures[second]):
        raise TraceError(f"{first} and {second}: {why}: nothing can be compared")
    references = [folder for folder, one in captures.items() if one.role == "reference"]
    if len(references) == 2:
        raise TraceError(f"{first} and {second}: both are the reference's: one candidate's is needed")
    if not references:
        return compare_engines(first, second, ours, captures[second], settings)
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
    # To the microsecond: of two in one second, the later must not be judged by the traces of the other.
    folder = run_folder(reports, f"merge-{run.model}")
    with staged_dir(folder / "traces" / run.model) as stage:
        # The reference's first: what both have, such as the subject's facts, is to be the candidate's.
        for source in (reference / scores.traces, candidate / run.traces):
            shutil.copytree(source, stage, dirs_exist_ok=True)
    seal(folder / "traces" / run.model)
    session = Session(dataclasses.replace(settings, from_dir=folder), folder, Narrator())
    session.expect({run.model: run.variants})
    checks: list[Result] = []
    for variant in run.variants:
        evidence = session.evidence(run.model, variant)
        checks += [result for check in CHECKS.values() for result in check.judge(evidence)]
    told = describe_run(typed(sys.argv), Path.cwd(), folder)
    report = build_report(folder, {run.model: checks}, {run.model: run.subject}, told, settings.baselines)
    write_report(report, folder)
    print(*rendered(summary_lines(report, folder), colour=False), sep="\n")
    return int(worst(check.verdict for check in checks) in ("fail", "error"))
