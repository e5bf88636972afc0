"""`npu-conformance bisect`: from a model's name to the page."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.checks.saved import load_evidence
from npu_conformance.commands.bisect.finding import page
from npu_conformance.commands.bisect.runs import Runs, features_of
from npu_conformance.commands.bisect.search import search
from npu_conformance.commands.console import say
from npu_conformance.config.model import config_path, load_config
from npu_conformance.errors import printable
from npu_conformance.machine.provenance import package_versions
from npu_conformance.machine.storage import run_folder, write_text
from npu_conformance.measure.floor import load_floor
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator


def bisect(model: str, variants: Sequence[str], settings: Settings, reports: Path) -> int:
    """Print and write the page; 0 where nothing fails, 1 where a finding was made.

    Args:
        model: name of its config.
        variants: whose combination fails; what `as_served` switches on where empty.
        settings: of the run.
        reports: folder in which the run's folder is made.

    Raises:
        ConformanceError: the model cannot be run, or a variant cannot be bisected.
    """
    load_config(config_path(settings.configs, model))  # a name that is none makes no folder
    folder = run_folder(reports, f"bisect-{model}")
    narrator = Narrator()
    session = Session(settings, folder, narrator)
    config = session.config(model)
    features = features_of(config, variants)
    subject = session.subject(model)
    model_run = session.model_run(model)
    runs = Runs(config, model_run, Jobs(folder, narrator, settings.device), settings.deadline_for(config), features)
    runs.make_base()
    evidence = load_evidence(model_run.traces, "base", config, noise=load_floor(model_run.traces / "base"))
    finding = search(runs, model_run, evidence)
    if finding is None:
        print(f"{model}: neither base nor {' + '.join(features)} leaves the limits; {runs.starts} engine starts")
        return 0
    text = page(
        finding,
        tried=f"{runs.starts} engine starts; trying every combination of {len(features)} features would take "
        f"{2 ** len(features)}",
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        versions=package_versions(),
        subject=subject.kind,
    )
    write_text(folder / "finding.md", printable(text))
    say(text, folder / "finding.md")
    return 1
