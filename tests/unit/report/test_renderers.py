"""Renderers: each is a module that nothing else names, writes what it says, and has its files in the docs."""

from importlib import import_module
from pathlib import Path

import pytest

from npu_conformance.__main__ import main
from npu_conformance.machine.storage import write_text
from npu_conformance.report import renderers
from npu_conformance.report.terminal import summary_lines
from npu_conformance.report.words import LANGUAGES
from npu_conformance.report.write import write_report
from tests.unit.helpers.report_runs import Runs

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", renderers.renderer_names())
@pytest.mark.parametrize("page", ["report.md", "zh/report.md"])
def test_each_renderer_writes_files_that_the_docs_name(runs: Runs, tmp_path: Path, name: str, page: str) -> None:
    """In both languages, in the table of a report's files."""
    report = runs.report()
    rows = [line.split("|")[1] for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    (tmp_path / "written").mkdir()
    files = import_module(f"{renderers.__name__}.{name}").render(report, tmp_path / "written")

    assert files
    assert all(path.is_file() and path.parent == tmp_path / "written" for path in files)
    named = {path.name.replace(report.models[0].name, "<Model>") for path in files}
    assert [file for file in named if not any(f"`{file}`" in row for row in rows)] == []


def test_a_report_is_written_by_all_of_them(runs: Runs, tmp_path: Path) -> None:
    """Beside report.json, and nothing that none of them says."""
    report = runs.report()
    write_report(report, tmp_path / "written")
    (tmp_path / "alone").mkdir()
    said = {path.name for path in renderers.render(report, tmp_path / "alone")}

    assert {"report.md", "report.zh.md", "Model.png"} <= said
    assert {path.name for path in (tmp_path / "written").iterdir()} == said | {"report.json"}


@pytest.mark.parametrize(("said", "other"), [("en", ".zh."), ("zh", None)])
def test_a_report_can_be_in_one_language(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, other: str | None
) -> None:
    """No file of the other is written, and no page leads to one."""
    write_text(tmp_path / "report.json", runs.report().model_dump_json())

    assert main(["report", str(tmp_path), "--report-lang", said]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert other is None or [name for name in names if other in name] == []
    texts = [name for name in names if name.endswith((".html", ".md"))]
    assert len(texts) == 5
    assert all((".zh." in name) == (other is None) for name in texts)
    pages = [(tmp_path / name).read_text(encoding="utf-8") for name in texts if name.endswith(".html")]
    assert [page for page in pages if "hreflang" in page] == []


def test_the_terminal_names_the_page_of_its_language(runs: Runs, tmp_path: Path) -> None:
    """In its last line."""
    last = [summary_lines(runs.report(), tmp_path, language=language)[-1][0] for language in LANGUAGES]

    assert last == [f"report: {tmp_path / 'index.html'}", f"report: {tmp_path / 'index.zh.html'}"]
