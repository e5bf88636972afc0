"""The worker process: reads a job file, does the job, ends. Started by `supervise`, never imported."""

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from npu_conformance.errors import ConformanceError
from npu_conformance.machine.devices import stay_on_host
from npu_conformance.machine.storage import write_text
from npu_conformance.workers.job import JOB, REFUSED, CandidateJob

# The module whose `run(job, progress)` does a kind of job.
_ROOMS = {
    "twin": "npu_conformance.twins.job",
    "scan": "npu_conformance.audit.scan",
    "convert": "npu_conformance.conversion.convert",
    "audit": "npu_conformance.audit.audit",
    "render": "npu_conformance.engines.rendering",
    "reference": "npu_conformance.engines.reference.score",
    "floor": "npu_conformance.engines.reference.floor",
    "modules": "npu_conformance.engines.reference.module_errors",
    "faults": "npu_conformance.selftest.job",
    "serving": "npu_conformance.engines.openai.serving.job",
    "probe": "npu_conformance.commands.probe.job",
    "states": "npu_conformance.engines.reference.states",
    "bench": "npu_conformance.engines.vllm.bench",
    "speed": "npu_conformance.engines.reference.speed",
}
_PR_SET_PDEATHSIG = 1
# Of an engine's own error, which may quote a whole config.
_LONGEST = 600
_REMEDIES = {
    "operator torchvision::": "torchvision here was built for another torch, and transformers imports no model beside "
    "it: remove it by `pip uninstall torchvision`, or install the build that fits",
    "No module named 'torch'": "there is no engine in this environment: install the suite where vLLM is, such as a "
    "vllm-ascend image, or vLLM for the CPU by the lock that `npu-conformance init` writes",
}

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and of how much; 0 of 0 while that is unknown."""


def main(workdir: Path, ahead_of: str | None = None) -> int:
    """Do the job in `workdir/job.json`; 0 when its output is there, else the reason is in `refusal.txt`.

    Args:
        workdir: the job's folder.
        ahead_of: a kind of job that is not there yet: until a line says that it is, what such a job needs is imported.
            1 where that line never comes.
    """
    _die_with_parent()
    if ahead_of is not None:
        _get_ready(ahead_of)
        if not sys.stdin.buffer.readline():
            return 1
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # for who would ask a user
    job = JOB.validate_json((workdir / "job.json").read_bytes())

    def progress(phase: str, done: int, total: int, part: int = 0) -> None:
        write_text(workdir / "progress.json", json.dumps([phase, done, total, part]))

    parts = job.jobs if job.kind == "series" else (job,)
    # An engine runs on whatever device it finds; all other jobs stay on the host.
    if not any(isinstance(part, CandidateJob) for part in parts):
        stay_on_host()
    progress("loading", 0, 0)
    try:
        if job.kind == "series":
            for place, part in enumerate(job.jobs):
                _do(part, _part_of(progress, place, part.label))
        else:
            _do(job, progress)
    except ConformanceError as error:
        write_text(workdir / "refusal.txt", str(error))
        return REFUSED
    except Exception as error:
        traceback.print_exc()
        write_text(workdir / "refusal.txt", f"{_reason(error)}; log: {workdir / 'log.txt'}")
        return 3
    return 0


def _get_ready(kind: str) -> None:
    """Import what a job of a kind, which is none of an engine, needs; what cannot be imported the job will say."""
    stay_on_host()
    with contextlib.suppress(Exception):
        import_module(_ROOMS[kind]).get_ready()


def _reason(error: BaseException) -> str:
    """Of the last error, but of a failed import its cause: transformers says only what could not be imported."""
    while isinstance(error, ImportError) and error.__cause__ is not None:
        error = error.__cause__
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}"
    return "; ".join([reason, *(remedy for sign, remedy in _REMEDIES.items() if sign in reason)])


def _do(job: Any, progress: Progress) -> None:
    engine = job.kind == "candidate"
    room = import_module(f"npu_conformance.engines.{job.engine}.engine" if engine else _ROOMS[job.kind])
    run: Callable[[Any, Progress], None] = room.run
    run(job, progress)


def _part_of(progress: Callable[[str, int, int, int], None], place: int, name: str) -> Progress:
    return lambda phase, done, total: progress(f"{name}: {phase}", done, total, place)


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent, however the parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), *sys.argv[2:])
    sys.stdout.flush()
    sys.stderr.flush()
    # The output is in place; interpreter shutdown of an accelerator runtime can only hang or crash now.
    os._exit(code)
