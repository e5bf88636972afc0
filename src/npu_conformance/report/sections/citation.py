"""Files of the report, and how to cite it."""

from npu_conformance.report.sections.blocks import Cell, Code, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import file_name


def section(view: View) -> Section:
    """Always there."""
    return Section("citation", view.t("citation"), (file_table(view), Code(bibtex(view))))


def file_table(view: View) -> Table:
    """What stands beside the card."""
    name = view.model.name
    details, page = file_name("details", "md", view.language), file_name(name, "html", view.language)
    files = [(page, "file_page"), (details, "file_details"), ("report.json", "file_json")]
    if any(one.relative_l2 for one in view.model.variants):
        files.append((f"{name}.png", "file_picture"))
    rows = tuple((Cell(file), Cell(view.t(words))) for file, words in files)
    return Table(view.t("report_files"), (view.t("file"), view.t("remark")), rows)


def bibtex(view: View) -> str:
    """The report as an entry of a bibliography."""
    run, model = view.report.run, view.model
    key = "".join(letter.lower() if letter.isalnum() else "-" for letter in model.name)
    commit = str(run.suite.get("commit", ""))[:12] if run.suite else ""
    parts = (f"npu-conformance {run.versions.get('npu-conformance', '')}".strip(), commit)
    lines = (
        f"@misc{{{key}-precision,",
        f"  title = {{Precision conformance of {view.name} under vLLM}},",
        f"  year = {{{run.started.year}}},",
        f"  note = {{{', '.join(filter(None, parts))}}}",
        "}",
    )
    return "\n".join(lines)
