"""Processes that are killed in the middle of a real run: what the report says, and that nothing is left running."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from npu_conformance.machine.storage import JOB_VARIABLE
from tests.unit.helpers.suite_runs import MODEL, ROOT, clean_environment, command, judge, outcome

# Before a run is timed: else it would begin by training its twin.
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("twin")]

T = TypeVar("T")


def left_of(worker: int, token: str) -> list[psutil.Process]:
    """Processes of a worker's group, or with its job's token, that are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == worker or process.environ().get(JOB_VARIABLE) == token:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


# When to kill: a phase the worker says it is in, or seconds after the victim appeared.
MOMENTS: dict[str, tuple[str | float, ...]] = {
    "worker": ("generating", 0.0, "starting vLLM", "generating again"),
    "engine": ("generating", 0.0, 2.0, 4.0, "generating again"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "moment"), [(victim, moment) for victim, moments in MOMENTS.items() for moment in moments]
)
def test_a_killed_process_errors_its_model_and_no_other(
    own_configs: Path, tmp_path: Path, victim: str, moment: str | float
) -> None:
    """SIGKILL: the report says so, nothing is left running, the other model passes, the next run is green."""
    text = (ROOT / "model_configs" / f"{MODEL}.yaml").read_text(encoding="utf-8")
    for name, separate in (("First", victim == "engine"), ("Second", False)):
        envs = f"envs: {{VLLM_ENABLE_V1_MULTIPROCESSING: '{separate:d}'}}"
        (own_configs / f"{name}.yaml").write_text(f"{text}\n{envs}\n")
    words = ("-o", f"model_configs={own_configs}", "--twin", "--prompts", "16", "-k", "base")
    running = subprocess.Popen(
        command(tmp_path / "reports", *words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    worker, token = kill_at(tmp_path / "reports", victim, moment)
    output, _ = running.communicate(timeout=300)
    found = outcome(running.returncode, output, tmp_path / "reports")

    assert found.status == 1
    assert {check["verdict"] for check in found.model("First")["checks"]} == {"error"}
    told = found.model("First")["checks"][0]["message"]
    assert told.startswith("First base: ")
    assert victim == "engine" or "the worker was killed by signal SIGKILL" in told
    # Few prompts are enough here, though not to be sure of a rate.
    assert found.model("Second")["verdict"] in ("pass", "inconclusive")
    assert left_of(worker, token) == []
    assert judge(tmp_path / "again", *words, "-k", "First-base").status == 0


@pytest.mark.slow
def test_a_worker_that_is_killed_while_closing_leaves_its_trace(own_configs: Path, tmp_path: Path) -> None:
    """Whole, so it is judged as ever; an engine in a process of its own takes a moment to close, and goes too."""
    text = (ROOT / "model_configs" / f"{MODEL}.yaml").read_text(encoding="utf-8")
    (own_configs / "First.yaml").write_text(f"{text}\nenvs: {{VLLM_ENABLE_V1_MULTIPROCESSING: '1'}}\n")
    words = ("-o", f"model_configs={own_configs}", "--twin", "--prompts", "16", "-k", "base")
    running = subprocess.Popen(
        command(tmp_path / "reports", *words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    worker, token = kill_at(tmp_path / "reports", "worker", "closing")
    output, _ = running.communicate(timeout=300)
    found = outcome(running.returncode, output, tmp_path / "reports")

    assert found.status == 0, output
    assert found.model("First")["verdict"] in ("pass", "inconclusive")
    assert left_of(worker, token) == []


def test_a_run_that_is_terminated_takes_its_engine_along(tmp_path: Path) -> None:
    """SIGTERM, as a CI timeout sends it: no process and nothing half-written stays, nor a report of nothing.

    The reference's process, which waits for its job meanwhile, goes too.
    """
    running = subprocess.Popen(
        command(tmp_path, "--twin", "-k", f"{MODEL}-base"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    waits, workdir = (wait_for(partial(folder_of, tmp_path, f"{MODEL}-base{name}")) for name in ("-reference", ""))
    workers = [wait_for(partial(worker_of, folder)) for folder in (waits, workdir)]
    tokens = [worker.environ()[JOB_VARIABLE] for worker in workers]
    wait_for(lambda: phase_of(workdir) == "generating" or None, pause=0.002)
    running.send_signal(signal.SIGTERM)

    assert running.wait(30) == pytest.ExitCode.INTERRUPTED
    assert [left_of(worker.pid, token) for worker, token in zip(workers, tokens, strict=True)] == [[], []]
    assert list(tmp_path.glob("*/traces/*/*/.*")) == []
    assert not (tmp_path / "latest").exists()


def test_a_run_that_is_terminated_while_it_trains_stops_training(tmp_path: Path) -> None:
    """Twins train in threads that no signal reaches; none of their workers goes on."""
    running = subprocess.Popen(
        command(tmp_path, "--twin", "-k", "Qwen3 and base"),
        cwd=ROOT,
        env=clean_environment(NPU_CONFORMANCE_CACHE=str(tmp_path / "cache")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    folders = [wait_for(partial(folder_of, tmp_path, f"twin-{name}")) for name in ("qwen3-guard", "qwen3.5")]
    workers = [wait_for(partial(worker_of, folder)) for folder in folders]
    tokens = [worker.environ()[JOB_VARIABLE] for worker in workers]
    wait_for(lambda: phase_of(folders[0]) == "training" or None)
    running.send_signal(signal.SIGTERM)

    assert running.wait(30) == pytest.ExitCode.INTERRUPTED
    assert [left_of(worker.pid, token) for worker, token in zip(workers, tokens, strict=True)] == [[], []]
    assert list((tmp_path / "cache" / "twins").glob(".*")) == []


def folder_of(reports: Path, job: str) -> Path | None:
    """Where a job's worker writes its log; what follows the job's name in the folder's is random."""
    return next((one for one in reports.glob(f"*/logs/{job}-*") if one.name.rpartition("-")[0] == job), None)


def kill_at(reports: Path, victim: str, moment: str | float) -> tuple[int, str]:
    """Wait for the first model's worker to come to the moment, then kill it or its engine process.

    Returns:
        The worker's process id and its job's token.
    """
    workdir = wait_for(partial(folder_of, reports, "First-base"))
    worker = wait_for(lambda: worker_of(workdir))
    token = worker.environ()[JOB_VARIABLE]
    if isinstance(moment, str):
        wait_for(lambda: phase_of(workdir) == moment or None, pause=0.002)
    target = worker if victim == "worker" else wait_for(lambda: engine_of(worker))
    if isinstance(moment, float):
        time.sleep(moment)
    os.kill(target.pid, signal.SIGKILL)
    return worker.pid, token


def wait_for(look: Callable[[], T | None], pause: float = 0.02) -> T:
    """What `look` finds, as soon as it finds it."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(pause)
    pytest.fail("the moment never came")


def phase_of(workdir: Path) -> str | None:
    """What the worker says it is doing."""
    try:
        phase: str = json.loads((workdir / "progress.json").read_text(encoding="utf-8"))[0]
    except FileNotFoundError:
        return None
    return phase


def worker_of(workdir: Path) -> psutil.Process | None:
    """The process that works in this folder."""
    for process in psutil.process_iter(["cmdline"]):
        if str(workdir) in (process.info["cmdline"] or []):
            return process
    return None


def engine_of(worker: psutil.Process) -> psutil.Process | None:
    """Its engine process, by the title vLLM gives it."""
    for child in worker.children(recursive=True):
        if " ".join(child.cmdline()).startswith("VLLM::"):
            return child
    return None
