"""Hidden states of the reference at the end of given prefixes."""

from typing import TYPE_CHECKING

from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.errors import JobError
from npu_conformance.machine.storage import staged_file
from npu_conformance.traces.layers import write_layers

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import StatesJob
    from npu_conformance.workers.worker import Progress


def run(job: "StatesJob", progress: "Progress") -> None:
    """Compute them, or take them from the cache.

    Raises:
        JobError: the model has no decoder of the usual make.
    """
    progress("reading hidden states", 0, 0)
    states = Scorer(job, progress).layers(job.prefixes)
    if states is None:
        raise JobError(f"{job.checkpoint}: its layers were not found, so no layer can be named")
    with staged_file(job.output) as file:
        write_layers(file, states)
