"""A worker that is started ahead of its job: it does the job, or nothing, and nothing of it is left."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from npu_conformance.errors import JobError
from npu_conformance.workers.job import RenderJob
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.process import Worker
from npu_conformance.workers.progress import Narrator

# Called as `interpreter -m module workdir [kind]`.
TELLS = """#!/bin/sh
echo "$$ ${4:-none}" >> PLACE/started
if [ -n "$4" ]; then sleep 300 & read line || exit 0; fi
cat "$3/job.json" > PLACE/done
"""
STARTS = """
import sys, time
from pathlib import Path
from npu_conformance.workers.process import Worker
folder = Path(sys.argv[1])
worker = Worker(folder, ahead_of="reference")
(folder / "pid").write_text(str(worker.process.pid))
time.sleep(300)
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """A shell script in its place, which tells of each process that it is."""
    script = tmp_path / "interpreter"
    script.write_text(TELLS.replace("PLACE", str(tmp_path)))
    script.chmod(0o755)
    return script


def job(place: Path) -> RenderJob:
    """One that is soon done."""
    return RenderJob(output=place / "out.json", checkpoint=place, prompts=())


def run(jobs: Jobs, name: str, interpreter: Path) -> None:
    """Run it with that interpreter."""
    jobs.run(job(interpreter.parent), name, 20, environment={}, python=interpreter)


def started(place: Path, count: int) -> list[str]:
    """What so many processes told, each its id and what it is ahead of."""
    until, file = time.monotonic() + 20, place / "started"
    while not file.is_file() or len(file.read_text().splitlines()) < count:
        assert time.monotonic() < until
        time.sleep(0.02)
    return file.read_text().splitlines()


def left_over(place: Path) -> list[int]:
    """Process ids in the groups of the interpreter's processes, which began them."""
    groups = {int(line.split()[0]) for line in started(place, 1)}
    return [one.pid for one in psutil.process_iter() if _group(one) in groups]


def _fail(place: Path) -> None:
    """As an engine, while somebody waits."""
    started(place, 1)
    raise JobError("the engine failed")


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _group(process: psutil.Process) -> int | None:
    with suppress(psutil.Error, ProcessLookupError):
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    return None


def test_it_does_the_job_of_its_name(tmp_path: Path, interpreter: Path) -> None:
    """A job of another name has a process of its own; the folder of logs is the job's either way."""
    jobs = Jobs(tmp_path / "run", Narrator())
    with jobs.ahead("reference", "Model base: reference", {}, interpreter):
        run(jobs, "Model base", interpreter)
        run(jobs, "Model base: reference", interpreter)

    kinds = sorted(line.split()[1] for line in started(tmp_path, 2))
    assert kinds == ["none", "reference"]
    assert (tmp_path / "done").is_file()
    folders = sorted(folder.name.rpartition("-")[0] for folder in (tmp_path / "run" / "logs").iterdir())
    assert folders == ["Model-base", "Model-base-reference"]
    assert left_over(tmp_path) == []


def test_one_whose_job_never_comes_is_ended(tmp_path: Path, interpreter: Path) -> None:
    """With what it started: its engine had failed, or somebody pressed Ctrl-C."""
    jobs = Jobs(tmp_path / "run", Narrator())
    with (
        pytest.raises(JobError, match="the engine failed"),
        jobs.ahead("reference", "Model base: reference", {}, interpreter),
    ):
        _fail(tmp_path)

    assert not (tmp_path / "done").exists()
    assert left_over(tmp_path) == []
    assert list((tmp_path / "run" / "logs").iterdir()) == []
    # A later job of that name finds nothing of it.
    run(jobs, "Model base: reference", interpreter)
    assert [line.split()[1] for line in started(tmp_path, 2)] == ["reference", "none"]


def test_one_whose_job_could_not_begin_is_ended(
    tmp_path: Path, interpreter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full: nobody watches it yet."""
    jobs = Jobs(tmp_path / "run", Narrator())
    monkeypatch.setattr("npu_conformance.workers.supervise.write_text", _full)
    with jobs.ahead("reference", "Model base: reference", {}, interpreter):
        started(tmp_path, 1)
        with pytest.raises(OSError, match="No space left on device"):
            run(jobs, "Model base: reference", interpreter)

    assert left_over(tmp_path) == []


def test_one_that_died_is_replaced(tmp_path: Path, interpreter: Path) -> None:
    """As by the kernel, which chooses what waits: the job is done all the same."""
    jobs = Jobs(tmp_path / "run", Narrator())
    with jobs.ahead("reference", "Model base: reference", {}, interpreter):
        waiting = psutil.Process(int(started(tmp_path, 1)[0].split()[0]))
        waiting.kill()
        psutil.wait_procs([waiting], 20)
        run(jobs, "Model base: reference", interpreter)

    assert [line.split()[1] for line in started(tmp_path, 2)] == ["reference", "none"]
    assert (tmp_path / "done").is_file()


def test_it_ends_with_its_input(tmp_path: Path) -> None:
    """A real worker, whose parent goes without a word."""
    worker = Worker(tmp_path, ahead_of="reference")
    assert worker.process.stdin is not None
    worker.process.stdin.close()

    assert worker.process.wait(120) == 1
    assert not (tmp_path / "progress.json").exists()


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    """Also where that one is killed outright."""
    suite = subprocess.Popen([sys.executable, "-c", STARTS, str(tmp_path)])
    until, pid = time.monotonic() + 20, tmp_path / "pid"
    while not pid.is_file() or not pid.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    waiting = psutil.Process(int(pid.read_text()))
    time.sleep(0.5)
    suite.send_signal(signal.SIGKILL)
    suite.wait()

    assert psutil.wait_procs([waiting], 20)[1] == []
