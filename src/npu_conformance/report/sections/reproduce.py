"""Where the report comes from, and how to make it again."""

import shlex

from npu_conformance.report.sections.blocks import Block, Cell, Code, Paragraph, Section, Table
from npu_conformance.report.sections.view import View


def section(view: View) -> Section:
    """Always there."""
    return Section(
        "reproduce",
        view.t("reproduce_section"),
        (Paragraph(view.t("reproduce_text")), *commands(view), provenance_table(view)),
    )


def commands(view: View) -> list[Block]:
    """Command lines that run the model again, and judge its traces again."""
    twin = " --twin" if view.model.subject == "twin" else " --models-root DIR"
    name = shlex.quote(view.model.name)
    traces = shlex.quote(view.report.run.judged_from or "reports/RUN")
    again = f"python -m pytest{twin} -k {name}"
    return [Code(f"{again}\n{again} --from {traces}")]


def provenance_table(view: View) -> Table:
    """Command, versions, machine and commit of the run."""
    run = view.report.run
    suite = "—" if not run.suite else f"{run.suite.get('commit')}{' + changes' if run.suite.get('dirty') else ''}"
    entries = [
        (view.t("started"), run.started.isoformat()),
        (view.t("command"), run.command),
        (view.t("machine"), " · ".join(run.machine.values())),
        (view.t("versions"), ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        (view.t("suite"), suite),
        (view.t("engine_starts"), str(run.engine_starts)),
    ]
    if run.judged_from:
        entries.append((view.t("judged_from"), run.judged_from))
    rows = tuple((Cell(name), Cell(entry)) for name, entry in entries)
    return Table(view.t("provenance"), (view.t("item"), view.t("entry")), rows)
