"""What a probe measures of an engine's memory: processes on a CPU, devices elsewhere, before, during and after."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.commands.probe import memory
from npu_conformance.commands.probe.memory import Measure
from npu_conformance.commands.probe.points import POINTS
from npu_conformance.errors import JobError
from npu_conformance.machine.devices import Device

HOLDS = "import time; held = bytearray(64 * 2**20); print('here', flush=True); time.sleep(60)"


def test_processes_are_measured_and_seen_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stays is told, and so is what it holds."""
    monkeypatch.setattr(memory, "_LONGEST", 0.2)
    measure = Measure("cpu", killed=True)
    engine = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE)
    try:
        assert engine.stdout is not None
        engine.stdout.readline()
        measure.look([], tmp_path / "measured")
        stays = measure.after()
    finally:
        engine.kill()
        engine.communicate()
    gone = measure.after()

    assert (tmp_path / "measured").is_file()
    assert stays.left == 1
    assert stays.during["host"] >= 64
    assert POINTS["memory"].judge(stays).verdict == "wrong"
    assert (gone.left, gone.after["host"], gone.lent) == (0, 0.0, ())
    assert POINTS["memory"].judge(gone).verdict == "ok"


def test_an_engine_that_was_never_measured_is_an_error() -> None:
    """Else nothing would be said to be free."""
    with pytest.raises(JobError, match="ended before its memory was measured"):
        Measure("cpu", killed=False).after()


CHIP = (
    "| {0}     910B3               | OK            | 98.9        33                0    / 0             |\n"
    "| 0                         | 0000:C{0}:00.0  | 0           0    / 0          {1} / 65536         |\n"
)


@pytest.fixture
def npus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """MiB in use of two NPUs, which may be changed."""
    used = [3401, 2000]
    pool = [Device("0", "davinci0"), Device("1", "davinci1")]
    monkeypatch.setattr(memory, "lendable", lambda _: pool)
    monkeypatch.setattr(memory, "device_files", lambda _: [device.name for device in pool])
    monkeypatch.setattr(memory, "ask_npu_smi", lambda: "".join(CHIP.format(*chip) for chip in enumerate(used)))
    monkeypatch.setattr(memory, "_LONGEST", 0.0)
    return used


def test_npus_are_asked_by_npu_smi(npus: list[int], tmp_path: Path) -> None:
    """By the ids they are lent by; the lent one must be the one that is used."""
    measure = Measure("npu", killed=False)
    npus[1] = 60000
    measure.look([Device("1", "davinci1")], tmp_path / "measured")
    npus[1] = 2000
    found = measure.after()

    assert (found.before, found.during) == ({"0": 3401, "1": 2000}, {"0": 3401, "1": 60000})
    assert found.lent == ("1",)
    assert POINTS["memory"].judge(found).verdict == POINTS["devices"].judge(found).verdict == "ok"
    assert POINTS["devices"].judge(found.model_copy(update={"lent": ("0",)})).verdict == "wrong"


@pytest.mark.usefixtures("npus")
def test_where_npu_smi_does_not_list_them_the_runtime_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, which sees the devices that may be lent; or it is said why there is no answer."""
    asked: list[Any] = []
    answer = SimpleNamespace(stdout="a line\nnpu-conformance asks: [1048576, 3145728]\n", stderr="", returncode=0)

    def run(words: list[str], **named: Any) -> Any:
        asked.append((words, named["env"]))
        return answer

    monkeypatch.setattr(memory, "ask_npu_smi", lambda: None)
    monkeypatch.setattr(memory, "narrowed", lambda *_: {"ASCEND_RT_VISIBLE_DEVICES": "0,1"})
    monkeypatch.setattr(subprocess, "run", run)
    assert memory._on_devices("npu") == {"0": 1.0, "1": 3.0}
    ((words, environment),) = asked
    assert "import torch_npu" in words[2]
    assert environment["ASCEND_RT_VISIBLE_DEVICES"] == "0,1"
    compile(words[2], "question", "exec")

    answer.stdout, answer.stderr = "", "Traceback\nRuntimeError: no driver\n"
    measure = Measure("cuda", killed=False)
    measure.look([], tmp_path / "measured")
    with pytest.raises(JobError, match=r"torch\.cuda does not say how much memory is used: RuntimeError: no driver"):
        measure.after()
    assert (tmp_path / "measured").is_file()  # the engine goes on with what it is asked besides
