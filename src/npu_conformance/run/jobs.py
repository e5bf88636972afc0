"""Runs jobs in worker processes, with a log folder each and their progress shown."""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.devices import Device, Platform, find_devices, lendable, narrowed
from npu_conformance.engines.job import CandidateJob, Job, ReferenceJob, SeriesJob, StatesJob
from npu_conformance.engines.supervise import run_job
from npu_conformance.leases import lease
from npu_conformance.machine import threads
from npu_conformance.progress import Narrator, Observe
from npu_conformance.variants import ranks

# No device, but lent like one: a reference takes all cores and the memory of float32 weights, so that on a machine with
# many devices as many references at once would be no faster, and might be too many.
_TURN = Device("the turn of references", "reference")


def on_the_host() -> dict[str, str]:
    """Environment of jobs that compute on this machine's processor: references, twins, and what reads weights."""
    return {"HF_HUB_OFFLINE": "1", **threads()}


class Jobs:
    """The jobs of one run."""

    def __init__(self, folder: Path, narrator: Narrator) -> None:
        """Args: folder: the run's report folder; narrator: tells what goes on."""
        self.folder = folder
        self.narrator = narrator

    def run(
        self, job: Job, name: str, deadline: float, *, environment: dict[str, str], python: Path | None = None
    ) -> None:
        """Run a job to its end, shown under its name, on devices that are lent to it alone.

        Its deadline begins when it has them. See `run_job` and `lease` for what it raises.
        """
        platform, pool, count = _needed(job)
        with lease(pool, count, name, self.narrator.say) as lent, self.narrator.job(name) as observe:
            if lent.devices and platform != "cpu":
                environment = environment | narrowed(platform, lent.devices)
            held = lent.descriptors
            self.run_observed(job, name, deadline, observe, environment=environment, python=python, held=held)

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
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for folder in job.stages:
            folder.mkdir(parents=True, exist_ok=True)
        workdir = Path(tempfile.mkdtemp(dir=logs, prefix=name.replace(" ", "-").replace(":", "") + "-"))
        run_job(
            job,
            name=name,
            workdir=workdir,
            deadline=deadline,
            environment=environment,
            python=python,
            observe=observe,
            stop=stop,
            held=held,
        )


def _needed(job: Job) -> tuple[Platform, Sequence[Device], int]:
    """The platform of a job, what it is lent of, and how much: engines devices, references their turn, others nothing.

    No cores are lent.
    """
    parts = job.jobs if isinstance(job, SeriesJob) else (job,)
    if any(isinstance(part, ReferenceJob | StatesJob) for part in parts):
        return "cpu", (_TURN,), 1
    engines = [part for part in parts if isinstance(part, CandidateJob)]
    platform = find_devices(engines[0].device)[0] if engines else "cpu"
    pool = lendable(platform)
    return platform, pool, 0 if platform == "cpu" else max(ranks(engine.options) for engine in engines)
