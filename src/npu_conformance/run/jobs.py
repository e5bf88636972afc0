"""Runs jobs in worker processes, with a log folder each and their progress shown."""

import tempfile
import threading
from pathlib import Path

from npu_conformance.engines.job import Job
from npu_conformance.engines.supervise import run_job
from npu_conformance.progress import Narrator, Observe

# The reference, and what reads weights, stay off the accelerator even where its plugin would load itself into torch.
OFF_DEVICE = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "HF_HUB_OFFLINE": "1"}


class Jobs:
    """The jobs of one run."""

    def __init__(self, folder: Path, narrator: Narrator) -> None:
        """Args: folder: the run's report folder; narrator: tells what goes on."""
        self.folder = folder
        self.narrator = narrator

    def run(
        self, job: Job, name: str, deadline: float, *, environment: dict[str, str], python: Path | None = None
    ) -> None:
        """Run a job to its end, shown under its name (see `run_job` for what it raises)."""
        with self.narrator.job(name) as observe:
            self.run_observed(job, name, deadline, observe, environment=environment, python=python)

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
    ) -> None:
        """The same, with its progress reported to somebody else, who may stop it."""
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
        )
