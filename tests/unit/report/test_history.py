"""All saved runs of a folder: a page with trends, from files alone, and the removal of old runs."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.report.history import prune, saved_runs, write_history
from npu_conformance.report.model import Report
from npu_conformance.report.write import write_report
from tests.unit.helpers.finished_reports import check, model
from tests.unit.helpers.finished_reports import report as made


def run_of(number: int, error: float) -> Report:
    """One of a series, a day after the one before."""
    measured: dict[str, Any] = {
        "metric": "error_over_floor",
        "observed": error,
        "limit": 1.2,
        "relation": "<=",
        "n": 58,
    }
    found = made(model("Model", [check("error_over_floor", **measured)]))
    later = found.run.model_copy(update={"started": found.run.started + timedelta(days=number)})
    return found.model_copy(update={"run": later})


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Four runs of a model, the newest of which is `latest`; a folder of another schema, and one without a report."""
    folder = tmp_path / "reports"
    for number in range(4):
        write_report(run_of(number, 0.9 + number / 100), folder / f"run{number}")
    (folder / "older").mkdir()
    (folder / "older" / "report.json").write_text(json.dumps({"schema_version": 1}))
    (folder / "going-on" / "traces").mkdir(parents=True)
    return folder


def test_runs_are_read_oldest_first_each_once(reports: Path) -> None:
    """Not again by the link; what cannot be read is counted."""
    runs, unread = saved_runs(reports)

    assert [run.folder.name for run in runs] == ["run0", "run1", "run2", "run3"]
    assert unread == 1


def test_the_page_has_a_row_a_run_and_a_trend(reports: Path) -> None:
    """Newest first, with links that lead somewhere, in both languages."""
    for path in write_history(reports):
        text = path.read_text(encoding="utf-8")
        places = [text.index(f">{error:g}</td>") for error in (0.93, 0.92, 0.91, 0.9)]
        page = "Model.zh.html" if ".zh." in path.name else "Model.html"

        assert places == sorted(places)
        assert f'href="run3/{page}"' in text
        assert (reports / "run3" / page).is_file()
        assert text.count("<svg") == 1
        assert "@@" not in text


def test_old_runs_are_removed_and_the_size_is_told(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All but the newest N, whole; what is no run stays."""
    assert main(["dev", "history", "--reports", str(reports), "--keep", "2"]) == 0
    told = capsys.readouterr().out

    assert {path.name for path in reports.iterdir() if path.is_dir()} == {"run2", "run3", "latest", "older", "going-on"}
    assert f"removed {reports / 'run0'}" in told
    assert "removed 2 runs, " in told
    assert "removed 2 runs, 0 " not in told
    assert "run1/" not in (reports / "history.html").read_text(encoding="utf-8")


def test_the_latest_is_never_removed(reports: Path) -> None:
    """Though others are newer."""
    (reports / "latest").unlink()
    (reports / "latest").symlink_to("run0")
    removed, freed = prune(reports, 1)

    assert [path.name for path in removed] == ["run1", "run2"]
    assert freed > 0
    assert (reports / "run0" / "report.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "told"), [(["--keep", "0"], 4, "must be 1 or more"), ([], 1, "no saved run")]
)
def test_what_makes_no_sense_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, told: str
) -> None:
    """And removes nothing."""
    assert main(["dev", "history", "--reports", str(tmp_path), *arguments]) == status
    assert told in capsys.readouterr().err
