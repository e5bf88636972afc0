"""Jobs and the devices they are lent: who gets some, what their processes are told, and when time begins to count."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import JUDGED
from npu_conformance.machine import devices
from npu_conformance.machine.devices import Device, lendable
from npu_conformance.machine.leases import lease
from npu_conformance.run.references import References
from npu_conformance.run.schedule import passes
from npu_conformance.run.settings import Settings
from npu_conformance.workers.job import CandidateJob, Job, RenderJob, SeriesJob
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from npu_conformance.workers.scorer_job import StatesJob


class Started:
    """What `run_job` was asked for, instead of a process."""

    def __init__(self) -> None:
        self.environments: list[dict[str, str]] = []
        self.locked: list[list[str]] = []
        """Names of the lock files that the job's processes inherit."""
        self.at: list[float] = []

    def __call__(self, _: Job, *, environment: Mapping[str, str], held: tuple[int, ...], **__: object) -> None:
        """As `run_job` does it."""
        self.at.append(time.monotonic())
        self.environments.append(dict(environment))
        self.locked.append([Path(f"/proc/self/fd/{one}").readlink().name for one in held])


class KeptLines(Narrator):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Print nothing."""
        self.lines.append(text)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Eight NPUs, of which there is none."""
    for name, value in (("DEVICES", "0-7"), ("LOCKS", str(tmp_path)), ("CACHE", str(tmp_path / "cache"))):
        monkeypatch.setenv(f"NPU_CONFORMANCE_{name}", value)
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    found = Started()
    monkeypatch.setattr("npu_conformance.workers.jobs.run_job", found)
    return found


def candidate(tmp_path: Path, device: Any, **options: Any) -> CandidateJob:
    """An engine's job."""
    return CandidateJob(
        output=tmp_path / "made" / "candidate",
        engine="vllm",
        checkpoint=tmp_path,
        rendered=tmp_path / "rendered.json",
        options=options,
        max_tokens=4,
        device=device,
    )


def test_an_engine_is_lent_what_its_ranks_need(tmp_path: Path, started: Started) -> None:
    """Free ones; its processes see them only and hold the locks on them."""
    jobs = Jobs(tmp_path, KeptLines())
    with lease(lendable("npu"), 1, "somebody else", pytest.fail):
        job = candidate(tmp_path, "npu", tensor_parallel_size=2, pipeline_parallel_size=2)
        jobs.run(job, "Model pp2", 9, environment={"OWN": "1"})
        jobs.run(candidate(tmp_path, "npu"), "Model base", 9, environment={})

    wide, narrow = started.environments
    assert wide == {"OWN": "1", "ASCEND_RT_VISIBLE_DEVICES": "1,2,3,4"}
    assert narrow == {"ASCEND_RT_VISIBLE_DEVICES": "1"}
    assert started.locked[0] == [f"npu-conformance.davinci{number}" for number in (1, 2, 3, 4)]
    assert "ASCEND_RT_VISIBLE_DEVICES" not in os.environ


def test_a_series_needs_what_its_widest_engine_needs(tmp_path: Path, started: Started) -> None:
    """They run one after another."""
    parts = tuple(candidate(tmp_path, "npu", tensor_parallel_size=size) for size in (1, 4, 2))
    Jobs(tmp_path, KeptLines()).run(SeriesJob(jobs=parts), "Model base and 2 more", 9, environment={})

    assert started.environments == [{"ASCEND_RT_VISIBLE_DEVICES": "0,1,2,3"}]


def test_transformers_computes_on_one_device(tmp_path: Path, started: Started) -> None:
    """Whatever the YAML asks of vLLM."""
    job = candidate(tmp_path, "npu", tensor_parallel_size=4).model_copy(update={"engine": "transformers"})
    Jobs(tmp_path, KeptLines()).run(job, "Model base", 9, environment={})

    assert started.environments == [{"ASCEND_RT_VISIBLE_DEVICES": "0"}]


def test_what_runs_on_the_host_takes_what_engines_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the platform that they are insisted to run on: with `--device cpu` half, one core on an NPU."""
    monkeypatch.setattr(devices, "cores", lambda: 16)
    monkeypatch.setattr(devices, "device_files", lambda *_: ["davinci0"])
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")

    assert Jobs(tmp_path, KeptLines(), "cpu").on_the_host()["OMP_NUM_THREADS"] == "8"
    assert Jobs(tmp_path, KeptLines()).on_the_host()["OMP_NUM_THREADS"] == "15"


def test_what_runs_on_the_host_is_lent_nothing(tmp_path: Path, started: Started) -> None:
    """Neither what reads weights nor an engine on a CPU; both run while every device is taken."""
    jobs = Jobs(tmp_path, KeptLines())
    with lease(lendable("npu"), 8, "somebody else", pytest.fail):
        jobs.run(RenderJob(output=tmp_path / "out", checkpoint=tmp_path, prompts=()), "Model", 9, environment={})
        jobs.run(candidate(tmp_path, "cpu", tensor_parallel_size=2), "Model tp2", 9, environment={})

    assert started.environments == [{}, {}]
    assert started.locked == [[], []]


def test_references_take_turns(tmp_path: Path, started: Started) -> None:
    """On one machine, whosever they are; engines are none of their business."""
    told = KeptLines()
    common: dict[str, Any] = {"checkpoint": tmp_path, "checkpoint_digest": "", "cache": tmp_path}
    common["attn_implementation"] = "sdpa"
    job = StatesJob(**common, output=tmp_path / "out", prefixes=((1,),))
    waits = threading.Thread(target=Jobs(tmp_path, told).run, args=(job, "B: states", 9), kwargs={"environment": {}})
    with lease((Device("the turn of references", "reference"),), 1, "A base: reference", pytest.fail):
        waits.start()
        while not told.lines:
            time.sleep(0.01)
        Jobs(tmp_path, told).run(candidate(tmp_path, "npu"), "A base", 9, environment={})
        assert len(started.at) == 1
    waits.join(20)

    assert told.lines[0].startswith("B: states: waits for 1 of 1 devices; A base: reference (pid ")
    assert told.lines[0].endswith(" has the turn of references")
    assert started.environments[1] == {}
    assert started.locked[1] == ["npu-conformance.reference"]


def test_who_waits_is_told_for_what_and_its_time_begins_later(tmp_path: Path, started: Started) -> None:
    """A job's deadline is `run_job`'s affair, which is called with the devices at hand."""
    told = KeptLines()
    job = candidate(tmp_path, "npu", tensor_parallel_size=4)
    waits = threading.Thread(target=Jobs(tmp_path, told).run, args=(job, "Four base", 9), kwargs={"environment": {}})
    with lease(lendable("npu"), 6, "Six base", pytest.fail):
        waits.start()
        while not told.lines:
            time.sleep(0.01)
        given_back = time.monotonic()
        assert started.at == []
    waits.join(20)

    assert told.lines[0].startswith("Four base: waits for 4 of 8 devices; Six base (pid ")
    assert started.at[0] >= given_back


@pytest.mark.usefixtures("started")
def test_two_that_want_one_reference_compute_it_one_after_the_other(tmp_path: Path) -> None:
    """So the second finds in the cache what the first has put there, and no two float32 models are loaded."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    running: list[int] = []
    most: list[int] = []

    def slow(*_: object, **__: object) -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.2)
        running.pop()

    config = ModelConfig.model_validate({"model": "a/b"})
    runs, folder = passes(config, ("base",))[0].runs, SimpleNamespace(folder=weights)
    references = References(
        config,
        Subject("Model", "real", weights, weights),
        cast(Any, SimpleNamespace(reference=folder, candidate=folder, adapter=None, quantised=False)),
        Settings(configs=tmp_path, deadline=9),
        cast(Jobs, SimpleNamespace(run=slow, narrator=KeptLines(), on_the_host=dict)),
    )
    threads = [threading.Thread(target=references.score, args=(tmp_path / name, runs)) for name in JUDGED]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1, 1]
