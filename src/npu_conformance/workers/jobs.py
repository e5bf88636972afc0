"""Runs jobs in worker processes, with a log folder each and their progress shown."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from npu_conformance.config.engines import engine as engine_of
from npu_conformance.config.variants import ranks
from npu_conformance.machine.capacity import threads
from npu_conformance.machine.devices import Device, Platform, find_devices, host_cores, lendable, narrowed
from npu_conformance.machine.leases import lease
from npu_conformance.workers.emptying import wait_for_memory
from npu_conformance.workers.job import CandidateJob, Job, SeriesJob
from npu_conformance.workers.process import Worker
from npu_conformance.workers.progress import Narrator, Observe
from npu_conformance.workers.scorer_job import ModulesJob, ReferenceJob, SpeedJob, StatesJob
from npu_conformance.workers.supervise import run_job

# No device, but lent like one: a reference takes all cores and the memory of float32 weights, so that on a machine with
# many devices as many references at once would be no faster, and might be too many.
_TURN = Device("the turn of references", "reference")


class Jobs:
    """The jobs of one run."""

    def __init__(self, folder: Path, narrator: Narrator, device: Platform | None = None) -> None:
        """Args: folder: the run's report folder; narrator: tells what goes on; device: that engines must run on."""
        self.folder = folder
        self.narrator = narrator
        self._device = device
        self._ahead: dict[str, Worker] = {}

    def on_the_host(self) -> dict[str, str]:
        """Environment of jobs that compute on this machine's processor: references, twins, and what reads weights."""
        return {"HF_HUB_OFFLINE": "1", **threads(host_cores(self._device))}

    @contextmanager
    def ahead(self, kind: str, name: str, environment: Mapping[str, str], python: Path | None) -> Iterator[None]:
        """Have a worker import what a job of a kind needs, before the job of that name is run within the context.

        Args:
            kind: of the job, or of the first of a series.
            name: of the job.
            environment: that it will be run with.
            python: its interpreter.
        """
        worker = Worker(self._workdir(name), environment=environment, python=python, ahead_of=kind)
        self._ahead[name] = worker
        try:
            yield
        finally:
            unused = self._ahead.pop(name, None) is not None
            if worker.process.returncode is None:
                worker.end()
            if unused:
                shutil.rmtree(worker.workdir, ignore_errors=True)

    def run(
        self,
        job: Job,
        name: str,
        deadline: float,
        *,
        environment: dict[str, str],
        python: Path | None = None,
        look: Callable[[str, Sequence[Device]], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Run a job to its end, shown under its name, on devices that are lent to it alone.

        Its deadline begins when it has them. See `run_job` and `lease` for what it raises.

        Args:
            job: what to do.
            name: of the job.
            deadline: in seconds.
            environment: variables added to this process's own.
            python: the interpreter; this one by default.
            look: told each phase as it begins, and the devices that are lent.
            stop: ends the job when it is set.
        """
        platform, pool, count = _needed(job)
        with lease(pool, count, name, self.narrator.say) as lent, self.narrator.job(name) as observe:
            if lent.devices and platform != "cpu":
                environment = environment | narrowed(platform, lent.devices)
            if platform == "npu":
                names = [device.name for device in lent.devices]
                wait_for_memory(names, _share(job), name, self.narrator.say)
            self.run_observed(
                job,
                name,
                deadline,
                observe if look is None else _both(observe, look, lent.devices),
                environment=environment,
                python=python,
                stop=stop,
                held=lent.descriptors,
            )

    def run_observed(
        self,
        job: Job,
        name: str,
        deadline: float,
        observe: Observe,
        *,
        environment: dict[str, str],
        python: Path | None = None,
        stop: threading.Event | None = None,
        held: Sequence[int] = (),
    ) -> None:
        """The same without devices, its progress reported to somebody else, who may stop it."""
        for folder in job.stages:
            folder.mkdir(parents=True, exist_ok=True)
        ahead = self._ahead.pop(name, None)
        run_job(
            job,
            name=name,
            workdir=self._workdir(name) if ahead is None else ahead.workdir,
            deadline=deadline,
            environment=environment,
            python=python,
            observe=observe,
            stop=stop,
            held=held,
            ahead=ahead,
        )

    def _workdir(self, name: str) -> Path:
        """A new folder for what a job of that name leaves."""
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=logs, prefix=name.replace(" ", "-").replace(":", "") + "-"))


def _both(observe: Observe, look: Callable[[str, Sequence[Device]], None], devices: Sequence[Device]) -> Observe:
    """Progress for the screen, and for somebody who looks at what the job does to the machine."""

    def observed(phase: str, done: int, total: int) -> None:
        observe(phase, done, total)
        look(phase, devices)

    return observed


def _needed(job: Job) -> tuple[Platform, Sequence[Device], int]:
    """The platform of a job, what it is lent of, and how much: engines devices, references their turn, others nothing.

    No cores are lent.
    """
    parts = _parts(job)
    if any(isinstance(part, ReferenceJob | ModulesJob | StatesJob | SpeedJob) for part in parts):
        return "cpu", (_TURN,), 1
    engines = [part for part in parts if isinstance(part, CandidateJob) and not engine_of(part.engine).remote]
    platform = find_devices(engines[0].device)[0] if engines else "cpu"
    pool = lendable(platform)
    return platform, pool, 0 if platform == "cpu" else max(map(_devices, engines))


def _devices(engine: CandidateJob) -> int:
    """Devices that an engine computes on."""
    return ranks(engine.options) if engine_of(engine.engine).serve_options else 1


def _share(job: Job) -> float | None:
    """The largest share of a device's memory that its engines ask for; None where they leave it to vLLM."""
    asked = [part.options.get("gpu_memory_utilization") for part in _parts(job) if isinstance(part, CandidateJob)]
    return max((float(one) for one in asked if one is not None), default=None)


def _parts(job: Job) -> tuple[Job, ...]:
    return job.jobs if isinstance(job, SeriesJob) else (job,)
