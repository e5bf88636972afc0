"""Workers that are small shell scripts in the place of the interpreter, so that they can misbehave."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from npu_conformance.machine.storage import JOB_VARIABLE
from npu_conformance.workers.job import RenderJob
from npu_conformance.workers.supervise import run_job

Run = Callable[..., float]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a job whose worker is a shell script; `$2` is its workdir, as `$0 -m module workdir` is how it is called."""

    def start(script: str, deadline: float = 20.0, **more: object) -> float:
        worker = tmp_path / "worker"
        worker.write_text(f'#!/bin/sh\nworkdir="$3"\necho "${JOB_VARIABLE}" > {tmp_path}/token\n{script}\n')
        worker.chmod(0o755)
        job = RenderJob(output=tmp_path / "out.json", checkpoint=tmp_path, prompts=())
        return run_job(job, name="Model base", workdir=tmp_path, deadline=deadline, python=worker, **more)  # type: ignore[arg-type]

    return start


def left_over(tmp_path: Path) -> list[psutil.Process]:
    """Processes that still carry the job's token."""
    token = (tmp_path / "token").read_text().strip()
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(JOB_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
