"""What a night ends with, run as it is written: the table of all verdicts, and the pull request with new baselines."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from npu_conformance.measure.results import Verdict
from tests.unit.helpers import workflow_runner
from tests.unit.helpers.suite_runs import ROOT
from tests.unit.helpers.workflow_artifacts import download, upload
from tests.unit.helpers.workflow_runner import NOTES, Runner, step_of
from tests.unit.helpers.workflow_steps import Step, steps
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


def downloading(job: str) -> Step:
    """The step of a job that downloads."""
    (step,) = [step for step in steps(NIGHTLY, job) if step.uses.startswith("actions/download-artifact@")]
    return step


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

    download(downloading("verdicts"), tmp_path / "artifacts", checkout / downloading("verdicts").options["path"])

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


@pytest.fixture
def repository(runner: Runner) -> Path:
    """A clone with a config and a baseline, and `gh` noting what it is asked."""
    runner.program("gh", NOTES.replace("exit", "echo https://github.com/o/r/pull/7; exit"))
    origin, clone = runner.home / "origin.git", runner.folder
    (clone / ".github").symlink_to(ROOT / ".github")
    for name, text in {
        "model_configs/A-1B.yaml": "model: org/A\n",
        "model_configs/B-1B.yaml": "model: org/B\n",
        "baselines/A-1B/npu.json": "{}\n",
        "baselines/A-1B/published.json": "[]\n",
        ".gitignore": ".github\n",
    }.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (
        ["init", "--quiet", "--bare", "--initial-branch=main", str(origin)],
        ["init", "--quiet", "--initial-branch=main", str(clone)],
        ["-C", str(clone), "remote", "add", "origin", str(origin)],
        ["-C", str(clone), "add", "."],
        [*identity, "-C", str(clone), "commit", "--quiet", "-m", "first"],
        ["-C", str(clone), "push", "--quiet", "origin", "main"],
    ):
        command = ["git", *words]
        subprocess.run(command, check=True, env=runner.environment, capture_output=True)
    return clone


def downloaded(runner: Runner) -> Path:
    """Where the baselines' artifacts are downloaded to."""
    return Path(
        downloading("baselines").options["path"].replace("${{ runner.temp }}", runner.environment["RUNNER_TEMP"])
    )


def propose(runner: Runner, files: dict[str, str], reason: str = "CANN 9.1; `uname`") -> Any:
    """The step that opens the pull request, with artifacts as they are downloaded."""
    for name, text in files.items():
        path = downloaded(runner) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return runner.run(
        step_of(NIGHTLY, "baselines", "Open the pull request"),
        GH_TOKEN="none",  # noqa: S106 (none is needed)
        REASON=reason,
        GITHUB_RUN_ID="12",
        GITHUB_RUN_ATTEMPT="2",
        GITHUB_REF_NAME="main",
        GITHUB_REPOSITORY="o/r",
        GITHUB_SERVER_URL="https://github.com",
    )


def git(runner: Runner, *words: str) -> str:
    """What git says of the origin."""
    command = ["git", "-C", str(runner.home / "origin.git"), *words]
    return subprocess.run(command, check=True, env=runner.environment, capture_output=True, text=True).stdout.strip()


def test_baselines_become_a_pull_request(runner: Runner, repository: Path) -> None:
    """One commit on a branch of its own, with the baselines that changed and nothing else."""
    (repository / "stray.txt").write_text("not to be committed")

    result = propose(runner, {"A-1B/npu.json": '{"new": 1}\n'})

    assert result.returncode == 0, result.stderr
    assert git(runner, "diff", "--name-only", "main", "baselines/12-2") == "baselines/A-1B/npu.json"
    assert "CANN 9.1; `uname`" in git(runner, "log", "-1", "--format=%B", "baselines/12-2")
    assert "github-actions[bot]" in git(runner, "log", "-1", "--format=%an", "baselines/12-2")
    words = runner.notes.read_text().splitlines()
    assert words[:6] == ["pr", "create", "--base", "main", "--head", "baselines/12-2"]
    body = Path(words[words.index("--body-file") + 1]).read_text()
    assert body.startswith("Reason given: CANN 9.1; `uname`\n")
    assert "https://github.com/o/r/actions/runs/12" in body
    assert "baselines/A-1B/npu.json" in body
    assert "https://github.com/o/r/pull/7" in runner.summary.read_text()


@pytest.mark.parametrize("models", [["A-1B"], ["A-1B", "B-1B"]])
def test_baselines_come_through_whatever_their_number(
    runner: Runner, repository: Path, tmp_path: Path, models: list[str]
) -> None:
    """Each from its model's checkout, which has the others' old ones and published figures too."""
    for model in models:
        (tmp_path / model).mkdir()
        machine = Runner(tmp_path / model)
        for name in ("A-1B", "B-1B"):
            (machine.folder / "baselines" / name).mkdir(parents=True)
            for file in ("npu.json", "published.json"):
                (machine.folder / "baselines" / name / file).write_text(f"{name == model} {file}\n")
        aside = step_of(NIGHTLY, "models", "Set the baseline aside")
        assert machine.run(aside, MODEL=model, PIP_INDEX_URL="", PIP_TRUSTED_HOST="").returncode == 0
        upload(step_of(NIGHTLY, "models", "Upload the baseline"), machine.folder, tmp_path / "artifacts", model)

    download(downloading("baselines"), tmp_path / "artifacts", downloaded(runner))
    result = propose(runner, {})

    assert result.returncode == 0, result.stderr
    expected = [f"baselines/{model}/npu.json" for model in models]
    assert git(runner, "diff", "--name-only", "main", "baselines/12-2").splitlines() == expected
    assert all((repository / name).read_text() == "True npu.json\n" for name in expected)


def test_a_job_without_a_baseline_to_upload_fails(tmp_path: Path) -> None:
    """Published figures are none."""
    runner = Runner(tmp_path)
    (runner.folder / "baselines" / "A-1B").mkdir(parents=True)
    (runner.folder / "baselines" / "A-1B" / "published.json").write_text("[]\n")
    runner.run(
        step_of(NIGHTLY, "models", "Set the baseline aside"), MODEL="A-1B", PIP_INDEX_URL="", PIP_TRUSTED_HOST=""
    )

    with pytest.raises(ValueError, match="baseline-A-1B: no files were found"):
        upload(step_of(NIGHTLY, "models", "Upload the baseline"), runner.folder, tmp_path / "artifacts", "A-1B")


def test_without_a_change_there_is_no_pull_request(runner: Runner, repository: Path) -> None:
    """It says so, and is no failure."""
    assert repository.is_dir()

    result = propose(runner, {"A-1B/npu.json": "{}\n"})

    assert result.returncode == 0, result.stderr
    assert "no pull request" in runner.summary.read_text()
    assert not runner.notes.exists()
    assert git(runner, "branch", "--format=%(refname:short)") == "main"


@pytest.mark.parametrize("files", [{}, {"npu.json": "{}\n"}])
def test_no_baseline_at_all_is_an_error(runner: Runner, repository: Path, files: dict[str, str]) -> None:
    """The step is there only when some were asked for; files of nobody are none."""
    assert repository.is_dir()

    result = propose(runner, files)

    assert result.returncode == 1
    assert "::error::baselines were asked for, and no job uploaded one" in result.stdout
    assert not runner.notes.exists()


def test_a_baseline_of_nobody_is_refused(runner: Runner, repository: Path) -> None:
    """A folder's name decides where its files go."""
    result = propose(runner, {"Nobody/npu.json": "{}\n"})

    assert result.returncode == 1
    assert "Nobody" in result.stdout
    assert not (repository / "baselines" / "Nobody").exists()


def test_a_push_that_fails_opens_nothing(runner: Runner, repository: Path) -> None:
    """The step fails with it."""
    assert repository.is_dir()
    shutil.rmtree(runner.home / "origin.git")

    assert propose(runner, {"A-1B/npu.json": '{"new": 1}\n'}).returncode != 0
    assert not runner.notes.exists()
