"""Engines on NPUs wait for the memory of the one before, with a line that says so, and not for ever."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.workers.emptying import wait_for_memory
from npu_conformance.workers.jobs import Jobs
from tests.unit.helpers.doctor_hosts import A2
from tests.unit.workers.test_jobs import KeptLines, Started, candidate, started

__all__ = ["started"]  # a fixture

HEALTHY = A2.replace("Alarm", "OK   ")
FREED = HEALTHY.replace("64465", " 3401")


class Smi:
    """Answers as npu-smi would, the last answer again and again, on a clock that only sleeping moves."""

    def __init__(self, *answers: str | None) -> None:
        self.answers: Iterator[str | None] = iter(answers)
        self.last: str | None = None
        self.asked = 0
        self.now = 0.0

    def ask(self) -> str | None:
        """Its table."""
        self.asked += 1
        self.last = next(self.answers, self.last)
        return self.last

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts one in place."""

    def put(*answers: str | None) -> Smi:
        made = Smi(*answers)
        monkeypatch.setattr("npu_conformance.workers.emptying.ask_npu_smi", made.ask)
        monkeypatch.setattr("npu_conformance.workers.emptying.device_files", lambda _: ["davinci0", "davinci1"])
        monkeypatch.setattr("npu_conformance.workers.emptying.time.sleep", made.sleep)
        monkeypatch.setattr("npu_conformance.workers.emptying.time.monotonic", lambda: made.now)
        return made

    return put


def test_memory_that_is_free_is_not_waited_for(smi: Any) -> None:
    """Nor is a neighbour's, nor that of NPUs nobody can ask about."""
    said: list[str] = []
    for answer, lent in ((HEALTHY, ["davinci0"]), (FREED, ["davinci0", "davinci1"]), (None, ["davinci1"])):
        made = smi(answer)
        wait_for_memory(lent, None, "Model graph", said.append)
        assert made.asked == 1
    assert said == []


def test_an_engine_waits_until_the_last_ones_memory_is_free(smi: Any) -> None:
    """It says so once."""
    said: list[str] = []
    made = smi(HEALTHY, HEALTHY, HEALTHY, FREED)
    wait_for_memory(["davinci0", "davinci1"], None, "Model graph", said.append)

    assert (made.asked, made.now) == (4, 6.0)
    assert said == [
        "Model graph: waits up to 60 s for 90% of the memory, which ended processes may still hold: "
        "NPU 1 has 1.0 of 64.0 GiB free"
    ]


def test_nobody_waits_for_ever(smi: Any) -> None:
    """What holds the memory may be somebody else's; vLLM then says what it lacks."""
    said: list[str] = []
    made = smi(HEALTHY)
    wait_for_memory(["davinci1"], None, "Model graph", said.append)

    assert made.now == 60.0
    assert said[-1] == "Model graph: starts anyway after 60 s: NPU 1 has 1.0 of 64.0 GiB free"


def test_what_is_wanted_is_what_the_yaml_says(smi: Any) -> None:
    """3,401 of 65,536 MiB are held: 0.94 of the memory is free, 0.95 is not."""
    for share, waited in ((0.94, 0.0), (0.95, 60.0)):
        made = smi(HEALTHY)
        wait_for_memory(["davinci0"], share, "Model graph", lambda _: None)
        assert made.now == waited


@pytest.mark.usefixtures("started")
def test_jobs_wait_for_the_devices_they_are_lent(tmp_path: Path, smi: Any, started: Started) -> None:
    """On an NPU only; the engine starts afterwards."""
    made, told = smi(HEALTHY, FREED), KeptLines()
    jobs = Jobs(tmp_path, told)
    jobs.run(candidate(tmp_path, "cpu"), "Model base", 9, environment={})
    assert made.asked == 0
    jobs.run(
        candidate(tmp_path, "npu", tensor_parallel_size=2, gpu_memory_utilization=0.8), "Model tp2", 9, environment={}
    )

    assert made.asked == 2
    assert next(line for line in told.lines if "waits up to" in line).startswith(
        "Model tp2: waits up to 60 s for 80% of"
    )
    assert len(started.environments) == 2
