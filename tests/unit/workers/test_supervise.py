"""Workers that end well, die, hang or lose their engine: one message, and no process left."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from npu_conformance.errors import JobError
from npu_conformance.workers import supervise
from npu_conformance.workers.log import EngineLog
from tests.unit.helpers import shell_workers
from tests.unit.helpers.shell_workers import Run, left_over

run = shell_workers.run  # a fixture is found by name in each module


def test_a_worker_that_ends_well(run: Run, tmp_path: Path) -> None:
    """Its log is kept, its progress was seen."""
    seen: list[object] = []
    script = 'echo hello; echo "[\\"working\\", 1, 2, 0]" > "$workdir/progress.json"; sleep 0.5'
    seconds = run(script, observe=lambda *state: seen.append(state))

    assert 0.5 <= seconds < 20
    assert seen == [("working", 1, 2)]
    assert (tmp_path / "log.txt").read_text() == "hello\n"


def test_a_worker_reads_what_its_engine_wrote(run: Run, tmp_path: Path) -> None:
    """From its own log, while it lives."""
    told = "import json; from npu_conformance.workers.log import log_since; print(json.dumps(log_since(0)))"
    run(f"""echo "Parameter fc.weight not found in params_dict, skip loading"
    {sys.executable} -c '{told}' > {tmp_path}/told""")

    log = EngineLog.model_validate(json.loads((tmp_path / "told").read_text())["log"])
    assert (log.lines, log.whole, [one.name for one in log.findings]) == (1, True, ["weights skipped"])


def test_a_worker_that_dies_says_so_with_the_end_of_its_log(run: Run) -> None:
    """The last fifteen lines, not all of them."""
    with pytest.raises(JobError) as caught:
        run("for i in $(seq 100); do echo line $i; done; exit 7")

    text = str(caught.value)
    assert text.startswith("Model base: the worker ended with exit status 7\n")
    assert "  | line 100" in text
    assert "  | line 86" in text
    assert "line 85" not in text


def test_a_worker_that_is_killed_names_the_signal(run: Run) -> None:
    """As the kernel's out-of-memory killer does it."""
    with pytest.raises(JobError, match="the worker was killed by signal SIGKILL") as caught:
        run("kill -9 $$")
    assert caught.value.part == 0


@pytest.mark.parametrize("ending", ["exit 7", "kill -9 $$", 'printf no > "$workdir/refusal.txt"; exit 2'])
def test_a_job_of_a_series_is_told_apart(run: Run, ending: str) -> None:
    """By what the worker said last."""
    with pytest.raises(JobError) as caught:
        run(f'echo "[\\"graph: generating\\", 1, 2, 3]" > "$workdir/progress.json"; {ending}')

    assert caught.value.part == 3


@pytest.mark.parametrize(
    ("phase", "starting"),
    [("starting vLLM", True), ("graph: starting vLLM", True), ("started", False), ("graph: generating", False)],
)
@pytest.mark.parametrize("ending", ["exit 7", 'printf no > "$workdir/refusal.txt"; exit 3'])
def test_an_engine_that_did_not_come_up_is_told_apart(run: Run, phase: str, starting: bool, ending: str) -> None:
    """By what the worker said last: an engine that came up did something."""
    with pytest.raises(JobError) as caught:
        run(f'echo "[\\"{phase}\\", 0, 0, 0]" > "$workdir/progress.json"; {ending}')

    assert caught.value.starting == starting


def test_a_refusal_is_passed_on_without_the_log(run: Run) -> None:
    """A known error needs no log."""
    with pytest.raises(JobError) as caught:
        run('echo noise; printf "the tokenizer is missing" > "$workdir/refusal.txt"; exit 2')

    assert str(caught.value) == "Model base: the tokenizer is missing"


def test_a_known_failure_is_explained(run: Run) -> None:
    """Wherever it stands in the log, before the log's last lines."""
    with pytest.raises(JobError) as caught:
        run("echo RuntimeError: NPU out of memory. Tried; for i in $(seq 100); do echo line $i; done; exit 7")

    first, second, third, *rest = str(caught.value).splitlines()
    assert first == "Model base: the worker ended with exit status 7"
    assert second.startswith("known failure: the NPU's memory is full; what to do: see with `npu-smi info`")
    assert third.startswith("last lines of ")
    assert rest[-1] == "  | line 100"
    assert "NPU out of memory" not in "".join(rest)


def test_an_unknown_failure_is_not_explained(run: Run) -> None:
    """Nothing is made up."""
    with pytest.raises(JobError) as caught:
        run("echo nobody knows; exit 7")

    assert "known failure" not in str(caught.value)


def test_an_engines_own_exception_is_explained_too(run: Run) -> None:
    """The worker passes it on without its log, where the cause stands; what the suite itself refuses needs nothing."""
    script = (
        'echo "EI0006: Getting socket times out."; printf "RuntimeError: no; log: x" > "$workdir/refusal.txt"; exit '
    )

    with pytest.raises(
        JobError, match=r"^Model base: RuntimeError: no; log: x\nknown failure: a rank waited for another"
    ):
        run(script + "3")
    with pytest.raises(JobError, match=r"no; log: x$"):
        run(script + "2")


def test_a_silent_kill_is_explained(run: Run) -> None:
    """Nothing here kills a worker before its end without a reason."""
    with pytest.raises(JobError, match=r"SIGKILL\nknown failure: killed from outside without a word in its log"):
        run("echo loading; kill -9 $$")


def test_a_worker_that_hangs_is_ended_at_its_deadline_with_all_its_children(run: Run, tmp_path: Path) -> None:
    """Also a child in a session of its own, and a grandchild; the message says what it was doing."""
    started = time.monotonic()
    told = 'echo "[\\"generating\\", 3, 9, 0]" > "$workdir/progress.json"'
    script = f"{told}; setsid sleep 300 & (sleep 300 & sleep 300) & wait"

    with pytest.raises(JobError, match=r"not done after 2 s \(while generating\) and was ended"):
        run(script, deadline=2.0)

    assert time.monotonic() - started < 10
    assert left_over(tmp_path) == []


def test_an_engine_process_that_dies_ends_its_worker(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VLLM's client would wait for it for ever; the deadline is far away."""
    monkeypatch.setattr(supervise, "_GRACE", 1.0)
    engine = "exec -a VLLM::EngineCore sleep 300"
    script = (
        f"bash -c '{engine}' & echo $! > {tmp_path}/engine; (sleep 4; kill -9 $(cat {tmp_path}/engine)) & sleep 300"
    )
    started = time.monotonic()

    with pytest.raises(JobError, match=r"the engine's own process .* died under the worker"):
        run(script, deadline=120.0)

    assert time.monotonic() - started < 30
    assert left_over(tmp_path) == []


def test_a_program_that_an_engine_process_starts_is_no_engine_process(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch starts compilers: forks with the engine's title, which are late to become what they are to run."""
    monkeypatch.setattr(supervise, "_GRACE", 0.5)
    forks = "import os, setproctitle as its, time; its.setproctitle('VLLM::Worker_TP0'); "
    forks += "late = lambda: [time.sleep(0.5), os.execvp('true', ['true'])]; "
    forks += "[(os.fork() or late(), time.sleep(0.4)) for _ in range(4)]; [os.wait() for _ in range(4)]; time.sleep(2)"

    assert run(f'{sys.executable} -c "{forks}"', deadline=60.0) > 3


def test_an_engine_process_that_crashes_is_no_silent_kill(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own last words are in the log: it was not the kernel, for memory."""
    monkeypatch.setattr(supervise, "_GRACE", 1.0)
    titled = "import setproctitle, time; setproctitle.setproctitle('VLLM::EngineCore'); time.sleep(300)"
    script = f'{sys.executable} -c "{titled}" & echo $! > {tmp_path}/engine; '
    script += f"(sleep 4; kill -SEGV $(cat {tmp_path}/engine)) & sleep 300"

    with pytest.raises(JobError) as caught:
        run(script, deadline=60.0)

    assert "died under the worker" in str(caught.value)
    assert "known failure: a process crashed in native code" in str(caught.value)
    assert "Fatal Python error: Segmentation fault" in str(caught.value)
    assert "killed from outside" not in str(caught.value)


def test_an_engine_process_that_closes_with_its_worker_is_no_loss(run: Run, tmp_path: Path) -> None:
    """Once the worker says it is closing."""
    script = (
        f"bash -c 'exec -a VLLM::EngineCore sleep 300' & echo $! > {tmp_path}/engine; sleep 3; "
        'echo "[\\"closing\\", 0, 0, 0]" > "$workdir/progress.json"; sleep 0.5; '
        f"kill $(cat {tmp_path}/engine); sleep 8"
    )

    assert run(script) > 10


def test_what_a_killed_worker_had_half_written_is_removed(run: Run, tmp_path: Path) -> None:
    """What it staged goes, what others stage there stays."""
    others = tmp_path / ".out.json.999999.x"
    others.write_text("another process's")
    script = 'mkdir "$workdir/.out.json.$NPU_CONFORMANCE_JOB.abc"; kill -9 $$'

    with pytest.raises(JobError, match="SIGKILL"):
        run(script)

    assert sorted(path.name for path in tmp_path.glob(".*")) == [others.name]


def test_an_interrupt_ends_the_worker(run: Run, tmp_path: Path) -> None:
    """Ctrl-C leaves nothing behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run('echo "[\\"working\\", 1, 2, 0]" > "$workdir/progress.json"; sleep 300', observe=interrupt)

    assert left_over(tmp_path) == []


def test_a_stale_refusal_of_an_earlier_run_is_not_believed(run: Run, tmp_path: Path) -> None:
    """The folder may have been used before."""
    (tmp_path / "refusal.txt").write_text("old")

    with pytest.raises(JobError, match="exit status 3"):
        run("exit 3")


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    """The real worker: when pytest is killed outright, no engine goes on."""
    code = (
        "import subprocess, sys, time\n"
        "child = 'import time, npu_conformance.workers.worker as worker; worker._die_with_parent(); '\n"
        "child += 'print(1, flush=True); time.sleep(60)'\n"
        "p = subprocess.Popen([sys.executable, '-c', child], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    worker.wait(10)


def test_a_worker_can_be_stopped_from_another_thread(run: Run, tmp_path: Path) -> None:
    """For jobs that run side by side, whose threads no signal reaches."""
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(JobError, match="was stopped"):
        run("sleep 60 & wait", stop=stop)

    assert left_over(tmp_path) == []
