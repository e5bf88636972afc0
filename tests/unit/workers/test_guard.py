"""What a killed pytest leaves behind is ended, and its devices are free."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from npu_conformance.machine.devices import Device
from npu_conformance.machine.leases import lease
from npu_conformance.machine.storage import JOB_VARIABLE
from npu_conformance.workers.guard import alive, end_marked
from tests.unit.helpers import shell_workers
from tests.unit.helpers.shell_workers import Run, left_over

run = shell_workers.run  # a fixture is found by name in each module

ABANDONED = """
import os, sys
from pathlib import Path
from npu_conformance.workers import process, supervise
from npu_conformance.workers.job import RenderJob
from npu_conformance.machine.devices import Device
from npu_conformance.machine.leases import lease
folder, interrupt = Path(sys.argv[1]), sys.argv[2] == "interrupted twice"
def press(*_):
    if (folder / "rank").is_file():
        raise KeyboardInterrupt
if interrupt:
    process.Worker.end = press  # where the second one arrives
job = RenderJob(output=folder / "out.json", checkpoint=folder, prompts=())
with lease([Device("0", "davinci0")], 1, "Model base", print) as lent:
    supervise.run_job(
        job, name="Model", workdir=folder, deadline=60, python=folder / "worker", held=lent.descriptors,
        observe=press if interrupt else None,
    )
"""
# A rank under the title that vLLM gives it: written when it is in place, with its id.
RANK = """
import os, sys, time
from pathlib import Path
from setproctitle import setproctitle
setproctitle("VLLM::Worker_TP1")
path = Path(sys.argv[1])
path.with_suffix(".new").write_text(str(os.getpid()))
path.with_suffix(".new").rename(path)
time.sleep(300)
"""
ABANDONING = f"""
import os, subprocess, sys, time
from pathlib import Path
folder = Path(__file__).parent
(folder / "token").write_text(os.environ["{JOB_VARIABLE}"])
def start(name, **how):
    subprocess.Popen([sys.executable, "-c", (folder / "rank.py").read_text(), str(folder / name)], **how)
    while not (folder / name).is_file():
        time.sleep(0.05)
SHAPES
while True:
    (folder / "progress.json").write_text(f'["at {{time.time()}}", 0, 0, 0]')
    time.sleep(0.05)
"""
IN_A_SESSION = 'start("rank", start_new_session=True)'
IN_THE_GROUP = f'del os.environ["{JOB_VARIABLE}"]; start("rank")'


@pytest.mark.parametrize(
    ("rank", "ending"),
    [(IN_A_SESSION, "killed"), (IN_THE_GROUP, "killed"), (IN_A_SESSION, "interrupted twice")],
    ids=["its token", "its group", "an interrupted end"],
)
def test_what_pytest_leaves_is_ended_and_its_devices_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, ending: str
) -> None:
    """An engine process without the lock and with a title, as vLLM's are; the lease lasts as long as it.

    In a session of its own it is known by its token, without one by its group.
    """
    monkeypatch.setenv("NPU_CONFORMANCE_LOCKS", str(tmp_path))
    (tmp_path / "rank.py").write_text(RANK)
    worker, engine = tmp_path / "worker", tmp_path / "rank"
    worker.write_text(f"#!{sys.executable}\n{ABANDONING.replace('SHAPES', rank)}")
    worker.chmod(0o755)
    suite = subprocess.Popen([sys.executable, "-c", ABANDONED, str(tmp_path), ending], stderr=subprocess.DEVNULL)
    while not engine.is_file():
        assert suite.poll() is None
        time.sleep(0.05)
    orphan = psutil.Process(int(engine.read_text()))
    if ending == "killed":
        assert orphan.cmdline()[0] == "VLLM::Worker_TP1"
        suite.send_signal(signal.SIGKILL)
    suite.wait(20)

    until = time.monotonic() + 20

    def wait(text: str) -> None:
        assert time.monotonic() < until, text
        raise TimeoutError

    while True:
        with suppress(TimeoutError), lease([Device("0", "davinci0")], 1, "the next", wait):
            break
        time.sleep(0.05)
    try:
        assert not alive(orphan)
        assert left_over(tmp_path) == []
    finally:
        for process in (orphan, *left_over(tmp_path)):
            with suppress(psutil.Error):
                process.kill()


def test_what_is_dead_is_not_waited_for() -> None:
    """Though nobody has asked for it, as in a container whose first process asks for none."""
    marked = f"subprocess.Popen(['sleep', '300'], env={{'{JOB_VARIABLE}': 'a token'}}, start_new_session=True)"
    code = f"import subprocess, time; print({marked}.pid, flush=True); time.sleep(300)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as careless:
        assert careless.stdout is not None
        orphan = int(careless.stdout.readline())
        started = time.monotonic()
        try:
            assert end_marked("a token") == 1
            assert time.monotonic() - started < 5
            assert psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
            assert end_marked("a token", orphan) == 0
        finally:
            careless.kill()


def test_a_process_lives_as_long_as_one_of_its_threads() -> None:
    """Its first may have ended, which then looks as if all had."""
    code = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(300,)).start(); "
    with subprocess.Popen([sys.executable, "-c", code + "ctypes.PyDLL(None).pthread_exit(None)"]) as running:
        process, until = psutil.Process(running.pid), time.monotonic() + 20
        try:
            while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
                time.sleep(0.02)
            assert process.status() == psutil.STATUS_ZOMBIE
            assert alive(process)
        finally:
            running.kill()


def test_a_job_that_ended_gives_its_devices_back_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No process of it, guard included, holds them on."""
    monkeypatch.setenv("NPU_CONFORMANCE_LOCKS", str(tmp_path))
    pool = [Device("0", "davinci0")]
    with lease(pool, 1, "Model base", pytest.fail) as lent:
        run("setsid sleep 300 & true", held=lent.descriptors)

    with lease(pool, 1, "the next", pytest.fail):
        assert left_over(tmp_path) == []
