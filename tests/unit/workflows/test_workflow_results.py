"""What a night ends with, run as it is written: the table of all verdicts."""

import json
from pathlib import Path
from typing import get_args

import pytest

from npu_conformance.measure.results import Verdict
from tests.unit.helpers import workflow_runner
from tests.unit.helpers.workflow_artifacts import download, downloading, upload
from tests.unit.helpers.workflow_runner import Runner, step_of
from tests.unit.workflows.test_workflows import NIGHTLY

MATRIX = json.dumps({"include": [{"model": "A-1B", "npus": 2}, {"model": "B-1B", "npus": 1}]})
# Stands for pytest: a report and a trace, where pytest is told to put them.
REPORTS = """#!/bin/sh
folder=reports
for word in "$@"; do
  case "$word" in reports=*) folder=${word#reports=} ;; esac
done
mkdir -p "$folder/1-1/traces"
ln -s 1-1 "$folder/latest"
printf "%s" "$REPORT" > "$folder/1-1/report.json"
touch "$folder/1-1/traces/0000.npy"
"""
runner, checkout = workflow_runner.runner, workflow_runner.checkout  # fixtures are found by name in each module


def report_of(model: str, verdict: str, subject: str = "real") -> str:
    """A report, as far as the table needs it."""
    check = {"variant": "base", "metric": "kl_mean", "verdict": verdict, "where": "a | b,\nposition 4", "message": None}
    return json.dumps({"models": [{"name": model, "subject": subject, "verdict": verdict, "checks": [check, check]}]})


def put_report(folder: Path, model: str, verdict: str, *, subject: str = "real", named: str | None = None) -> None:
    """A model's report, downloaded."""
    place = folder / "reports" / model / "latest"
    place.mkdir(parents=True)
    (place / "report.json").write_text(report_of(named or model, verdict, subject))


def gather(runner: Runner, result: str = "success", matrix: str = MATRIX) -> tuple[int, str]:
    """The last job's step: exit status and summary."""
    ended = runner.run(step_of(NIGHTLY, "verdicts", "Gather the verdicts"), MATRIX=matrix, RESULT=result)
    return ended.returncode, runner.summary.read_text(encoding="utf-8")


@pytest.mark.parametrize("models", [["A-1B"], ["A-1B", "B-1B"]])
def test_reports_come_through_whatever_their_number(
    runner: Runner, checkout: Path, tmp_path: Path, models: list[str]
) -> None:
    """From where a model's job leaves its own to the table; traces stay where they are."""
    for model in models:
        (tmp_path / model).mkdir()
        machine = Runner(tmp_path / model)
        machine.program("python", REPORTS)
        environment = {
            "MODEL": model,
            "PIP_INDEX_URL": "",
            "PIP_TRUSTED_HOST": "",
            "SELECT": "",
            "BASELINES": "keep",
            "REASON": "",
            "TRUST": "",
        }
        judging = step_of(NIGHTLY, "models", "Judge the model")
        assert machine.run(judging, **environment, REPORT=report_of(model, "pass")).returncode == 0
        upload(step_of(NIGHTLY, "models", "Upload the report"), machine.folder, tmp_path / "artifacts", model)

    fetching = downloading(NIGHTLY, "verdicts")
    download(fetching, tmp_path / "artifacts", checkout / fetching.options["path"])

    assert not list(checkout.glob("reports/**/*.npy"))
    assert not list(checkout.glob("reports/**/1-1"))  # `latest` is a link to it: once is enough
    matrix = json.dumps({"include": [{"model": model, "npus": 1} for model in models]})
    status, text = gather(runner, matrix=matrix)
    assert status == 0, text
    assert all(f"| {model} | 1 | pass |" in text for model in models)


def test_all_is_well(runner: Runner, checkout: Path) -> None:
    """A table with a line a model."""
    put_report(checkout, "A-1B", "pass")
    put_report(checkout, "B-1B", "inconclusive")

    status, text = gather(runner)

    assert status == 0
    assert "| A-1B | 2 | pass | 2 pass |  |" in text
    assert "| B-1B | 1 | inconclusive | 2 inconclusive | base: kl_mean a \\| b, position 4 |" in text


BAD = ["fail", "error", "shown", "skipped", "not_applicable"]


def test_every_verdict_is_decided_about() -> None:
    """A new one must be put among those that hold, in verdicts.py and above, or among those that do not."""
    assert {*BAD, "pass", "inconclusive"} == set(get_args(Verdict))


@pytest.mark.parametrize("verdict", [*BAD, "something new"])
def test_one_that_does_not_hold_fails_the_night(runner: Runner, checkout: Path, verdict: str) -> None:
    """The others are told all the same; what nobody knows does not hold."""
    put_report(checkout, "A-1B", verdict)
    put_report(checkout, "B-1B", "pass")

    status, text = gather(runner, "failure")

    assert status == 1
    assert f"| A-1B | 2 | {verdict} |" in text
    assert "| B-1B | 1 | pass |" in text


def test_a_model_without_a_report_fails_the_night(runner: Runner, checkout: Path) -> None:
    """Its job may have died without a word."""
    put_report(checkout, "A-1B", "pass")

    status, text = gather(runner)

    assert status == 1
    assert "| B-1B | 1 | no report |  | the run ended before anything was judged" in text


@pytest.mark.parametrize("other", [{"subject": "twin"}, {"named": "A-1B"}])
def test_a_report_of_something_else_is_none(runner: Runner, checkout: Path, other: dict[str, str]) -> None:
    """A twin says nothing about the model."""
    put_report(checkout, "A-1B", "pass")
    put_report(checkout, "B-1B", "pass", **other)

    assert gather(runner)[0] == 1


def test_a_job_that_ended_badly_fails_the_night(runner: Runner, checkout: Path) -> None:
    """What the doctor found is in no report."""
    put_report(checkout, "A-1B", "pass")
    put_report(checkout, "B-1B", "pass")

    status, text = gather(runner, "failure")

    assert status == 1
    assert "a job did not end well" in text
