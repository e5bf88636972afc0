"""Builds a twin in a worker process."""

from typing import TYPE_CHECKING

from npu_conformance.machine.storage import staged_dir
from npu_conformance.twins import build

if TYPE_CHECKING:
    from npu_conformance.workers.job import TwinJob
    from npu_conformance.workers.worker import Progress


def run(job: "TwinJob", progress: "Progress") -> None:
    """Train the twin and put its checkpoint folder in place."""
    with staged_dir(job.output) as stage:
        build(job.recipe, stage, job.prompts_dir, job.base, lambda done, total: progress("training", done, total))
