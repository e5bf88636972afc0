"""The workflows of `.github/`: valid, careful with rights and inputs, and their shell steps run as they are written.

Every shell step is either run here or named in `NOT_RUN`, with what it would need.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.commands.plan.matrix import selected
from tests.unit.helpers.suite_runs import ROOT
from tests.unit.helpers.workflow_steps import load, steps

WORKFLOWS = ROOT / ".github" / "workflows"
CPU, NIGHTLY = (load(WORKFLOWS / name) for name in ("cpu.yml", "nightly-a2.yml"))
JOBS = [(workflow, job) for workflow in (CPU, NIGHTLY) for job in workflow["jobs"]]
NOT_RUN = {
    "Test": "minutes: `python -m tests.unit.helpers.workflow_steps` runs it",
    "Judge the twins": "minutes: as above",
    "Run the long tests": "hours",
    "Judge the twins on that engine": "minutes, and an environment of its own: `make engines` runs it",
    "Install what older builds of vLLM for the CPU start with": "Debian's packages",
    "Summarise the table": "the step above it",
    "Install the suite": "a package index",
    "Test what needs no torch": "Python 3.12 beside this one, and a package index",
    "Show the NPUs": "an NPU",
    "Install the suite beside the image's packages": "the Ascend image and a package index",
}
RUN = {  # in test_workflow_steps.py, test_workflow_results.py and test_workflow_baselines.py
    "Summarise the report",
    "Refuse new baselines without a reason",
    "Make the matrix",
    "Ask the doctor",
    "Judge the model",
    "Set the baseline aside",
    "Gather the verdicts",
    "Open the pull request",
}


def schema_check(*paths: Path) -> "subprocess.CompletedProcess[str]":
    """Hold files against the JSON Schema of workflows that GitHub's editors use, as check-jsonschema carries it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True)


def test_the_workflows_follow_githubs_schema() -> None:
    """All of them."""
    result = schema_check(*sorted(WORKFLOWS.iterdir()))

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("timeout-minutes: 100", "timeout-minuts: 100"), ("runs-on: ubuntu-latest", "run-on: ubuntu-latest")],
)
def test_the_schema_finds_a_misspelt_key(tmp_path: Path, right: str, wrong: str) -> None:
    """The check can fail."""
    text = (WORKFLOWS / "nightly-a2.yml").read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "broken.yml").write_text(text.replace(right, wrong))

    assert schema_check(tmp_path / "broken.yml").returncode == 1


def test_every_shell_step_is_run_or_named() -> None:
    """Nothing is forgotten here when a step is added."""
    found = {step.name for workflow, job in JOBS for step in steps(workflow, job) if step.run}

    assert found == RUN | set(NOT_RUN)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_no_script_holds_an_expression(workflow: dict[str, Any], job: str) -> None:
    """What somebody typed into an input would become a part of the script; it comes by the environment instead."""
    assert not [step.name for step in steps(workflow, job) if "${{" in step.run]


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_actions_are_pinned_to_a_version(workflow: dict[str, Any], job: str) -> None:
    """To GitHub's own actions."""
    used = [step.uses for step in steps(workflow, job) if step.uses]

    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_jobs_end_within_two_hours(workflow: dict[str, Any], job: str) -> None:
    """Without a limit GitHub's is six, which only the weekly campaigns may take."""
    assert 0 < int(workflow["jobs"][job]["timeout-minutes"]) <= (360 if job == "campaigns" else 120)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_rights_are_least(workflow: dict[str, Any], job: str) -> None:
    """Reading, but for the job that opens a pull request, which runs on demand only; tokens stay in no checkout."""
    assert workflow["permissions"] == {"contents": "read"}
    own = workflow["jobs"][job]
    (checkout,) = [step for step in steps(workflow, job) if step.uses.startswith("actions/checkout@")]
    if job != "baselines":
        assert "permissions" not in own
        assert checkout.options == {"persist-credentials": "false"}
        return
    assert own["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert "github.event_name == 'workflow_dispatch'" in own["if"]
    assert "inputs.baselines != 'keep'" in own["if"]
    assert "||" not in own["if"]
    assert own["runs-on"] == "ubuntu-latest"


def test_one_models_failure_does_not_stop_the_others() -> None:
    """A job a model, each on its runner, with CANN from the login shell."""
    models = NIGHTLY["jobs"]["models"]

    assert models["strategy"]["fail-fast"] == "false"
    assert models["strategy"]["matrix"] == "${{ fromJSON(needs.matrix.outputs.matrix) }}"
    assert models["runs-on"] == "${{ matrix.runner }}"
    assert models["timeout-minutes"] == "120"
    assert models["container"]["image"].startswith("quay.io/ascend/vllm-ascend:${{ inputs.image_tag")
    assert {step.shell for step in steps(NIGHTLY, "models")} == {"bash -el {0}"}
    assert models["env"]["HF_HUB_OFFLINE"] == "1"


def test_a_job_leaves_time_to_upload_what_it_has() -> None:
    """The tests end before the job does."""
    (judging,) = [step for step in NIGHTLY["jobs"]["models"]["steps"] if step.get("name") == "Judge the model"]

    assert int(judging["timeout-minutes"]) <= 120 - 15


def test_nights_do_not_overlap() -> None:
    """And none is cut off; nor does one take the waiting place of what was started by hand."""
    group = "nightly-a2-${{ github.event_name == 'schedule' && 'schedule' || github.run_id }}"
    assert NIGHTLY["concurrency"] == {"group": group, "cancel-in-progress": "false"}
    assert set(NIGHTLY["on"]) == {"schedule", "workflow_dispatch"}
    assert set(NIGHTLY["on"]["workflow_dispatch"]["inputs"]) == {"models", "image_tag", "baselines", "reason"}
    assert NIGHTLY["on"]["workflow_dispatch"]["inputs"]["baselines"]["default"] == "keep"


@pytest.mark.parametrize(("workflow", "job"), [(CPU, "conformance"), (NIGHTLY, "models")])
def test_a_failed_run_leaves_its_report_and_traces(workflow: dict[str, Any], job: str) -> None:
    """Apart, because traces are large: they are kept for days, reports for weeks."""
    uploads = {step.name: step for step in steps(workflow, job) if step.uses.startswith("actions/upload-artifact@")}
    report, traces = uploads["Upload the report"], uploads["Upload the traces"]

    assert report.condition == traces.condition == "${{ always() }}"
    left_out, kept = {
        "conformance": ("reports/latest", "reports/latest"),
        "models": ("reports/*/latest", "reports/${{ matrix.model }}/latest"),
    }[job]
    assert f"!{left_out}/traces/**" in report.options["path"].split()
    assert traces.options["path"] == f"{kept}/traces/"
    assert int(traces.options["retention-days"]) < int(report.options["retention-days"])
    (shown,) = [step for step in steps(workflow, job) if step.name == "Summarise the report"]
    assert shown.condition == "${{ always() }}"


@pytest.mark.parametrize("name", ["Set the baseline aside", "Upload the baseline"])
def test_a_baseline_is_kept_from_a_job_that_passed_only(name: str) -> None:
    """And when it was asked for."""
    (step,) = [step for step in steps(NIGHTLY, "models") if step.name == name]

    assert step.condition == "${{ success() && inputs.baselines && inputs.baselines != 'keep' }}"


def test_the_filter_promises_what_it_takes() -> None:
    """It is not pytest's `-k`, which has parentheses; the example is one that it takes."""
    told = NIGHTLY["on"]["workflow_dispatch"]["inputs"]["models"]["description"]

    assert "-k" not in told
    assert "no parentheses" in told
    (example,) = re.findall(r"\((.*)\)", told)
    assert selected(["BitCPM4-CANN-1B", "Qwen3-4B-FP8", "Qwen3Guard-Gen-4B"], example) == [
        "BitCPM4-CANN-1B",
        "Qwen3Guard-Gen-4B",
    ]


def test_the_last_job_sees_all_that_failed() -> None:
    """It runs whatever came of the models, and not where there was no matrix."""
    verdicts = NIGHTLY["jobs"]["verdicts"]

    assert verdicts["needs"] == ["matrix", "models"]
    assert verdicts["if"] == "${{ always() && needs.matrix.result == 'success' }}"


def test_the_cpu_workflow_is_what_people_run() -> None:
    """`make`, with the index that has the builds which requirements/cpu.txt pins."""
    assert CPU["env"] == {"PIP_EXTRA_INDEX_URL": "https://download.pytorch.org/whl/cpu"}
    assert [step.run for step in steps(CPU, "test") if step.run] == ["make test"]
    assert next(step.run for step in steps(CPU, "conformance") if step.run) == "make conformance"
    for job in CPU["jobs"]:
        (python,) = [step for step in steps(CPU, job) if step.uses.startswith("actions/setup-python@")]
        # The Makefile's, and that of vllm-ascend's images from 0.23 on.
        assert python.options["python-version"] == ("3.12" if job == "image-python" else "3.11")
