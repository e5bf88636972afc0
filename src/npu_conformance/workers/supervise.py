"""Starts a worker process for a job, watches it, and ends it with all its children."""

import contextlib
import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from npu_conformance.errors import JobError
from npu_conformance.machine.storage import sweep, write_text
from npu_conformance.workers.guard import alive
from npu_conformance.workers.guarded import guarded
from npu_conformance.workers.job import CLOSING, REFUSED, STARTING, Job
from npu_conformance.workers.known_failures import explanation
from npu_conformance.workers.option_names import in_the_yaml
from npu_conformance.workers.process import Worker

LOG_LINES = 15
_POLL = 0.1
_SCAN = 1.0
# vLLM may notice a dead engine process by itself and say more than we can; past this it hangs.
_GRACE = 5.0
_ENGINE_PROCESS = "VLLM::"
_LOST = "the engine's own process"

Observer = Callable[[str, int, int], None]


def run_job(
    job: Job,
    *,
    name: str,
    workdir: Path,
    deadline: float,
    environment: Mapping[str, str] | None = None,
    python: Path | None = None,
    observe: Observer | None = None,
    stop: threading.Event | None = None,
    held: Sequence[int] = (),
    ahead: Worker | None = None,
) -> float:
    """Run a job in a worker process; when this returns, its output is complete and no process is left.

    When this process is killed outright or interrupted once more, the job's processes are ended all the same.

    Args:
        job: what to do.
        name: the job's name in messages, such as `Qwen3Guard-Gen-4B base`.
        workdir: an existing folder for the job's file, log and progress.
        deadline: seconds after which the worker is ended; for a series, seconds each of its jobs may take.
        environment: variables added to this process's own.
        python: the interpreter; this one by default.
        observe: called with the worker's progress whenever it changed.
        stop: ends the job when it is set, for callers whose own thread no signal reaches.
        held: descriptors of locks, which stay open as long as there are processes of the job.
        ahead: a worker that waits for the job in `workdir`; one that has died is replaced.

    Returns:
        Seconds it took.

    Raises:
        JobError: the worker died, hung, lost an engine process or refused; with the reason, what is known of
            the failure, and the last lines of its log where it did not give a reason itself.
    """
    started = time.monotonic()
    write_text(workdir / "job.json", job.model_dump_json(indent=1))
    for stale in ("refusal.txt", "progress.json"):
        (workdir / stale).unlink(missing_ok=True)
    if ahead is not None and ahead.process.poll() is not None:
        ahead.end()
        ahead = None
    token = uuid.uuid4().hex[:16] if ahead is None else ahead.token
    with guarded(token, held) as guard:
        worker = ahead or Worker(workdir, token=token, environment=environment, python=python, held=held)
        try:
            guard.watch(worker.process.pid)
            worker.go()
            problem = _watch(worker, deadline, observe, stop)
        finally:
            worker.end()
            guard.kill()  # not before: a second Ctrl-C may come while the first is dealt with
            for folder in job.stages:
                sweep(folder, token)
    status, log = worker.process.returncode, worker.log
    if problem is None and status == 0:
        return time.monotonic() - started
    refusal, (state, part) = workdir / "refusal.txt", _progress(workdir)
    starting = state is not None and state[0].endswith(STARTING)
    if problem is None and refusal.is_file():
        known = "" if status == REFUSED else f"\n{explanation(log)}".rstrip()
        why = f"{refusal.read_text(encoding='utf-8')}{known}"
        raise JobError(f"{name}: {why}\n{in_the_yaml(why)}".rstrip(), part, starting=starting)
    killed = status == -signal.SIGKILL if problem is None else problem.startswith(_LOST)
    what = problem or f"the worker {described_exit(status)}"
    known = explanation(log, killed=killed)
    end = tail(log)
    raise JobError(f"{name}: {what}\n{known}{in_the_yaml(end)}last lines of {log}:\n{end}", part, starting=starting)


def tail(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log, indented; progress bars count as their last state."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    kept = [line.rsplit("\r", 1)[-1].rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(f"  | {line}" for line in kept[-lines:]) or "  | (the log is empty)"


def _watch(
    worker: Worker,
    deadline: float,
    observe: Observer | None,
    stop: threading.Event | None,
) -> str | None:
    """Wait for the worker; None when it ended by itself, else why it must be ended."""
    started = scanned = time.monotonic()
    engines: dict[int, psutil.Process] = {}
    titled: list[psutil.Process] = []
    lost_since: float | None = None
    seen: tuple[str, int, int] | None = None
    part = 0
    while worker.process.poll() is None:
        now = time.monotonic()
        if stop is not None and stop.is_set():
            return "was stopped"
        if now - started > deadline:
            phase = f"while {seen[0]}" if seen else "before it said what it was doing"
            return f"the worker was not done after {deadline:g} s ({phase}) and was ended"
        state, current = _progress(worker.workdir)
        if current != part:
            part, started = current, now
            engines.clear()  # the last job's were its own to close
        if state is not None and state != seen:
            seen = state
            if observe is not None:
                observe(*state)
        if now - scanned > _SCAN:
            scanned = now
            # What one of them starts, such as a compiler, has its title until it is a program of its own.
            titled, before = _engine_processes(worker.process.pid), titled
            engines.update({child.pid: child for child in titled if child in before})
            closing = seen is not None and seen[0].endswith(CLOSING)
            lost = [pid for pid, process in engines.items() if not alive(process)]
            if lost and not closing:
                lost_since = lost_since or now
                if now - lost_since > _GRACE:
                    return f"{_LOST} (pid {lost[0]}) died under the worker, which was ended"
        time.sleep(_POLL)
    return None


def _engine_processes(worker: int) -> list[psutil.Process]:
    """Those under the worker that have an engine process's title."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(worker).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(word.startswith(_ENGINE_PROCESS) for word in (child.name(), *child.cmdline()[:1])):
                    found.append(child)
    return found


def _progress(workdir: Path) -> tuple[tuple[str, int, int] | None, int]:
    """What the worker says it is doing, and in which job of a series."""
    try:
        phase, done, total, part = json.loads((workdir / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, 0
    return (phase, done, total), part


def described_exit(code: int) -> str:
    """How a process ended, as what follows its name."""
    if code < 0:
        return f"was killed by signal {signal.Signals(-code).name}"
    return f"ended with exit status {code}"
