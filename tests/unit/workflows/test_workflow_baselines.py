"""What a night that was asked for baselines ends with, run as it is written: a pull request with them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.helpers import workflow_runner
from tests.unit.helpers.suite_runs import ROOT
from tests.unit.helpers.workflow_artifacts import download, downloading, upload
from tests.unit.helpers.workflow_runner import NOTES, Runner, step_of
from tests.unit.workflows.test_workflows import NIGHTLY

runner = workflow_runner.runner  # a fixture is found by name in each module


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
    place = downloading(NIGHTLY, "baselines").options["path"]
    return Path(place.replace("${{ runner.temp }}", runner.environment["RUNNER_TEMP"]))


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

    download(downloading(NIGHTLY, "baselines"), tmp_path / "artifacts", downloaded(runner))
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
