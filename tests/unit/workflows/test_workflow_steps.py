"""The shell steps of the workflows, run as they are written, with folders made up to be what they find on a runner.

No result of an NPU is made up: what would need one is refused before it starts, or a program of this test's own notes
how it was called. What comes after the models' jobs is in `test_workflow_results.py` and
`test_workflow_baselines.py`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from tests.unit.helpers import workflow_runner, workflow_steps
from tests.unit.helpers.suite_runs import ROOT
from tests.unit.helpers.workflow_runner import NOTES, Runner, step_of
from tests.unit.helpers.workflow_steps import Step
from tests.unit.workflows.test_workflows import CPU, NIGHTLY

SUMMARY = ROOT / ".github" / "scripts" / "summary.py"
# The command as the package installs it.
COMMAND = f'#!/bin/sh\nexec {sys.executable} -m npu_conformance "$@"\n'
MISSING = "ERROR: no weights of Qwen/Qwen3Guard-Gen-4B: looked under"
runner, checkout = workflow_runner.runner, workflow_runner.checkout  # fixtures are found by name in each module


def test_the_matrix_is_the_commands(runner: Runner, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of output, which `fromJSON` takes."""
    runner.program("npu-conformance", COMMAND)
    step = step_of(NIGHTLY, "matrix", "Make the matrix")

    result = runner.run(step, FILTER="Qwen3Guard or BitCPM4", TRUST="false", PYTHONPATH=str(ROOT / "src"))

    assert result.returncode == 0, result.stderr
    assert (
        main(["dev", "matrix", "--configs", str(checkout / "model_configs"), "--filter", "Qwen3Guard or BitCPM4"]) == 0
    )
    assert runner.output.read_text() == "matrix=" + capsys.readouterr().out


@pytest.mark.parametrize(("trust", "models"), [("false", ["Plain"]), ("true", ["Coded", "Plain"])])
def test_models_with_code_of_their_own_need_the_repositorys_word(runner: Runner, trust: str, models: list[str]) -> None:
    """Without it they are left out, and the run's summary says so."""
    runner.program("npu-conformance", COMMAND)
    (runner.folder / "model_configs").mkdir()
    (runner.folder / "model_configs" / "Plain.yaml").write_text("model: org/Plain\n")
    (runner.folder / "model_configs" / "Coded.yaml").write_text("model: org/C\nserve: {trust_remote_code: true}\n")
    step = step_of(NIGHTLY, "matrix", "Make the matrix")
    assert step.environment["TRUST"] == "${{ vars.TRUST_REMOTE_CODE == 'true' }}"

    result = runner.run(step, FILTER="", TRUST=trust, PYTHONPATH=str(ROOT / "src"))

    assert result.returncode == 0, result.stderr
    assert [one["model"] for one in json.loads(runner.output.read_text()[len("matrix=") :])["include"]] == models
    told = "Coded.yaml: serve.trust_remote_code: left out"
    assert (told in result.stderr) == (told in runner.summary.read_text()) == (trust == "false")


@pytest.mark.parametrize("words", ["Llama", "-Llama", '$(touch pwned) "; touch pwned; "'])
def test_a_filter_that_is_none_ends_the_night(runner: Runner, checkout: Path, words: str) -> None:
    """With a message; what was typed is data, never a command."""
    runner.program("npu-conformance", COMMAND)

    environment = {"FILTER": words, "TRUST": "false", "PYTHONPATH": str(ROOT / "src")}

    result = runner.run(step_of(NIGHTLY, "matrix", "Make the matrix"), **environment)

    assert result.returncode == 4
    assert "ERROR: --filter" in result.stderr
    assert "- ERROR: --filter" in runner.summary.read_text()
    assert not runner.output.exists()
    assert not (checkout / "pwned").exists()


@pytest.mark.parametrize(
    ("baselines", "reason", "status"), [("keep", "", 0), ("update", "vllm-ascend 0.24", 0), ("create", "", 1)]
)
def test_new_baselines_need_a_reason(runner: Runner, baselines: str, reason: str, status: int) -> None:
    """Before a runner with NPUs is taken."""
    step = step_of(NIGHTLY, "matrix", "Refuse new baselines without a reason")

    assert runner.run(step, BASELINES=baselines, REASON=reason).returncode == status


def models_environment(**own: str) -> dict[str, str]:
    """What stands for the expressions in the environment of the models' job."""
    return {
        "MODEL": "Qwen3Guard-Gen-4B",
        "PIP_INDEX_URL": "",
        "PIP_TRUSTED_HOST": "",
        "BASELINES": "keep",
        "REASON": "",
        "TRUST": "false",
        **own,
    }


@pytest.mark.parametrize("status", [0, 1])
def test_what_the_doctor_says_is_kept_and_shown(runner: Runner, status: int) -> None:
    """Also when it finds an error, which fails the step."""
    runner.program("npu-conformance", f"{NOTES.rsplit('exit', 1)[0]}echo '{{}}'\nexit {status}\n")

    result = runner.run(step_of(NIGHTLY, "models", "Ask the doctor"), **models_environment())

    assert result.returncode == status
    assert result.stdout.strip() == "{}"
    assert (runner.folder / "reports" / "Qwen3Guard-Gen-4B" / "doctor.json").read_text().strip() == "{}"
    assert runner.notes.read_text().split() == ["doctor", "Qwen3Guard-Gen-4B", "--json"]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({}, []),
        (
            {"BASELINES": "update", "REASON": 'new "attention"; see $HOME'},
            ["--baseline=update", '--reason=new "attention"; see $HOME'],
        ),
        ({"TRUST": "true"}, ["--trust-remote-code"]),
    ],
)
def test_how_a_model_is_judged(runner: Runner, own: dict[str, str], words: list[str]) -> None:
    """The command line, word by word."""
    runner.program("python")

    result = runner.run(
        step_of(NIGHTLY, "models", "Judge the model"), **models_environment(SELECT="[A-base] or [A-graph]", **own)
    )

    assert result.returncode == 0, result.stderr
    expected = ["-m", "pytest", "-k", "[A-base] or [A-graph]", "--device", "npu", "--require-weights"]
    reports = ["-o", "reports=reports/Qwen3Guard-Gen-4B"]
    assert runner.notes.read_text().splitlines() == [*expected, *reports, *words]


@pytest.mark.parametrize("status", [1, 4, 5])
def test_pytests_exit_status_is_the_steps(runner: Runner, status: int) -> None:
    """5 too: nothing was collected."""
    runner.program("python")

    result = runner.run(
        step_of(NIGHTLY, "models", "Judge the model"), **models_environment(SELECT="[A-base]", STATUS=str(status))
    )

    assert result.returncode == status


@pytest.mark.parametrize(
    ("selected", "status", "message", "own"),
    [
        ("[Qwen3Guard-Gen-4B-base]", 4, MISSING, {}),
        (
            "[Qwen3Guard-Gen-4B-base]",
            4,
            MISSING,
            {"BASELINES": "update", "REASON": "--cann=9.1"},
        ),
        ("[Qwen3Guard-Gen-4B-base]", 4, MISSING, {"TRUST": "true"}),
        ("[Nobody-1B-base]", 5, "deselected", {}),
    ],
)
def test_weights_that_are_missing_fail_the_job(
    runner: Runner, checkout: Path, tmp_path: Path, selected: str, status: int, message: str, own: dict[str, str]
) -> None:
    """The real command: refused before it asks for an NPU."""
    assert (checkout / "conftest.py").is_file()
    step = step_of(NIGHTLY, "models", "Judge the model")
    cache = {name: str(tmp_path) for name in ("MODELSCOPE_CACHE", "HF_HOME", "NPU_CONFORMANCE_CACHE")}
    elsewhere = Step(**{**vars(step), "environment": step.environment | cache})

    result = runner.run(elsewhere, **models_environment(SELECT=selected, PYTHONPATH=str(ROOT / "src"), **own))

    assert result.returncode == status, result.stdout + result.stderr
    assert message in result.stdout + result.stderr


@pytest.mark.parametrize(("workflow", "job"), [(CPU, "conformance"), (NIGHTLY, "models")])
@pytest.mark.parametrize("there", [True, False])
def test_the_summary_is_the_report(
    runner: Runner, checkout: Path, workflow: dict[str, Any], job: str, there: bool
) -> None:
    """Without its picture; and where there is none, that there is none."""
    if there:
        place = checkout / "reports" / ("" if workflow is CPU else models_environment()["MODEL"]) / "latest"
        place.mkdir(parents=True)
        (place / "report.md").write_text("# Bericht ✅\n\n![A](A.png)\n\ntext\n")

    result = runner.run(step_of(workflow, job, "Summarise the report"), **models_environment())

    assert result.returncode == 0, result.stderr
    text = runner.summary.read_text(encoding="utf-8")
    assert text == "# Bericht ✅\n\n\ntext\n" if there else "No report" in text


def test_a_long_report_is_cut_with_a_note(tmp_path: Path) -> None:
    """At the end of a line, within what GitHub takes; one that just fits is whole."""
    line = "表" * 33 + "\n"  # 100 bytes
    (tmp_path / "report.md").write_text(line * 20000, encoding="utf-8")

    shown = subprocess.run([sys.executable, SUMMARY, tmp_path / "report.md"], capture_output=True, check=True).stdout

    text = shown.decode()
    assert 1024 * 1024 - 200 < len(shown) <= 1024 * 1024
    assert text.splitlines()[-1].startswith("**Cut here")
    assert set(text.splitlines()[:-3]) == {line.strip()}
    (tmp_path / "report.md").write_text(line * 10485, encoding="utf-8")
    whole = subprocess.run([sys.executable, SUMMARY, tmp_path / "report.md"], capture_output=True, check=True).stdout
    assert whole.decode() == line * 10485


WORKFLOW = """
env: {WORD: hello}
jobs:
  first:
    steps:
      - uses: actions/checkout@v6
      - {name: Fails, run: 'echo "$WORD" > said; false'}
      - {name: Skipped, run: touch skipped}
      - {name: Last, if: '${{ always() }}', run: echo done >> "$GITHUB_STEP_SUMMARY"}
  second:
    steps:
      - {name: Well, run: touch second}
"""


def test_a_workflow_can_be_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As GitHub runs it: a failed step skips what follows, but for `always()`, and the other jobs go on."""
    (tmp_path / "some.yml").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)

    assert workflow_steps.main(tmp_path / "some.yml", []) == 1

    assert (tmp_path / "said").read_text() == "hello\n"
    assert (tmp_path / "second").exists()
    assert not (tmp_path / "skipped").exists()
    printed = capfd.readouterr().out
    assert "first: actions/checkout@v6: left out" in printed
    assert "first: Fails: exit status 1" in printed
    assert "first: Last: exit status 0" in printed
    assert workflow_steps.main(tmp_path / "some.yml", ["second"]) == 0


def test_what_cannot_be_decided_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition, or an expression in the environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.yml").write_text("jobs: {a: {steps: [{if: github.actor, run: 'true'}]}}")
    assert workflow_steps.main(tmp_path / "some.yml", []) == 2
    (tmp_path / "some.yml").write_text("jobs: {a: {steps: [{env: {A: '${{ github.actor }}'}, run: 'true'}]}}")
    with pytest.raises(ValueError, match="an expression, give its value"):
        workflow_steps.main(tmp_path / "some.yml", [])
