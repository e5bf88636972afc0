"""Engines on devices that are lent to them, and pytest-xdist's workers: the suite as it is called, without engines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.helpers.pretend_engines import MODELS, PLACE, TESTS, environment, make_project


@pytest.fixture
def pretend(tmp_path: Path) -> Path:
    """A project of the suite's with engines that only pretend, on eight devices."""
    return make_project(tmp_path / "pretend")


def run_pretend(project: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run its tests to their end."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--device", "npu", "tests"]
    command += [f"--models-root={project / 'models'}", *words]
    return subprocess.run(
        command, cwd=project, env=environment(project) | variables, capture_output=True, text=True, timeout=120
    )


def engines(project: Path) -> list[tuple[str, list[str]]]:
    """What the engines noted: an event and the devices' ids."""
    return [tuple(json.loads(line)[:2]) for line in (project / "log").read_text().splitlines()]


def test_an_engine_sees_its_devices_and_pytest_is_left_alone(pretend: Path) -> None:
    """As many as its model's tensor parallel size, the first that are free; nothing is set where tests run."""
    test = pretend / PLACE
    unchanged = '"ASCEND_RT_VISIBLE_DEVICES" not in os.environ'
    test.write_text(f"import os\ndef test_one(evidence):\n    assert {unchanged}\n")
    result = run_pretend(pretend, "-k", "base and (Four or Single)")

    assert result.returncode == 0, result.stdout
    assert [ids for _, ids in engines(pretend)] == [["0", "1", "2", "3"]] * 2 + [["0"]] * 2


def test_a_variable_that_is_set_already_is_a_limit(pretend: Path) -> None:
    """And a model that needs more is skipped with both numbers."""
    limits = {"ASCEND_RT_VISIBLE_DEVICES": "2,5,6", "NPU_CONFORMANCE_DEVICES": ""}
    result = run_pretend(pretend, "-rs", "-k", "base and (Four or Two)", **limits)

    assert result.returncode == 0, result.stdout
    assert "base needs 4 devices, 3 of platform npu are here" in result.stdout
    assert [ids for _, ids in engines(pretend)] == [["2", "5"]] * 2


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        (("-n", "1", "--dist", "load"), {}, "--dist load deals a model's tests out to several workers"),
        (("-n", "1", "-d"), {}, "--dist load deals"),
        (("-n", "1", "--require-weights", "--models-root=tests"), {}, "no weights of org/"),
        (("-n", "1", "--candidate-weights=models"), {}, "--candidate-weights is for one model, but 6 are selected"),
        ((), {"NPU_CONFORMANCE_DEVICES": "all"}, "NPU_CONFORMANCE_DEVICES=all: 'all' is no id"),
    ],
)
def test_a_run_that_is_refused(pretend: Path, words: tuple[str, ...], variables: dict[str, str], message: str) -> None:
    """One line and exit status 4 before an engine starts, with pytest-xdist too."""
    result = run_pretend(pretend, *words, **variables)
    told = result.stdout + result.stderr

    assert result.returncode == 4, told
    assert "Traceback" not in told
    (line,) = [line for line in told.splitlines() if line.startswith("ERROR: ")]
    assert message in line
    assert not (pretend / "log").exists()


def test_a_model_stays_on_one_worker(pretend: Path) -> None:
    """Where nobody said how tests are to be dealt out: each engine is started once."""
    test = pretend / PLACE
    where = "import os\ndef test_{}(evidence, request, worker_id):\n"
    where += "    with open('where', 'a') as file:\n"
    where += "        file.write(request.node.callspec.id.split('-')[0] + ' ' + worker_id + '\\n')\n"
    test.write_text("".join(where.format(name) for name in ("one", "two")))
    result = run_pretend(pretend, "-n", "3")

    assert result.returncode == 0, result.stdout
    told = (pretend / "where").read_text().splitlines()
    assert len(told) == 2 * 2 * len(MODELS)
    assert len(set(told)) == len(MODELS)
    assert len({line.split()[1] for line in told}) > 1
    assert [event for event, _ in engines(pretend)].count("begin") == 2 * len(MODELS)


def test_a_test_whose_worker_died_is_an_error_in_the_report(pretend: Path) -> None:
    """It leaves no result of its own; its model does not pass by what is missing."""
    test = pretend / PLACE
    test.write_text("import os, signal\ndef test_dying(evidence):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    result = run_pretend(pretend, "-n", "1", "--max-worker-restart=0", "-k", "Two-base")

    assert result.returncode == 1, result.stdout
    (model,) = json.loads((pretend / "reports" / "latest" / "report.json").read_text())["models"]
    assert (model["name"], model["verdict"]) == ("Two", "error")
    assert "crashed" in model["checks"][0]["message"]


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_an_engine_that_does_not_start_is_told_once(pretend: Path, workers: tuple[str, ...]) -> None:
    """Though it was tried in each variant, and every test needs it; the other model has a message of its own."""
    result = run_pretend(pretend, *workers, "-k", "One or Single", PRETEND_DIES="1")
    report = json.loads((pretend / "reports" / "latest" / "report.json").read_text())

    assert result.returncode == 1, result.stdout
    for name in ("One", "Single"):
        (model,) = [model for model in report["models"] if model["name"] == name]
        full = [check for check in model["checks"] if "on startup is less than desired" in check["message"]]
        brief = [check for check in model["checks"] if check["message"] == "not run: the engine did not start"]
        assert (model["verdict"], len(full), len(brief)) == ("error", 1, 2 * TESTS - 1)
        assert full[0]["message"].startswith(f"{name} base: ValueError: free memory")
    shown = " ".join(result.stdout.split())
    assert shown.count("on startup is less than desired") == 2
    assert shown.count(f"{2 * TESTS - 1} other checks could not run for this reason") == 2
    assert "short test summary" not in shown
    assert len(result.stdout.splitlines()) < 45


def test_ci_gets_a_line_a_model(pretend: Path) -> None:
    """No bar, no line a job, no letter a test."""
    result = run_pretend(pretend, "-k", "One or Single", CI="true")
    told = [line for line in result.stdout.splitlines() if ": judged (" in line]

    assert result.returncode == 0, result.stdout
    assert [line.split(" after ")[0].split(": ")[1] for line in told] == [
        "judged (1 of 2 models)",
        "judged (2 of 2 models)",
    ]
    assert result.stderr == ""
    assert PLACE.name not in result.stdout
    assert len(result.stdout.splitlines()) < 25
