"""What a job will cost, before it runs: refuse what cannot fit, with the figure."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from npu_conformance.checkpoints.inspect import Checkpoint, weight_bytes
from npu_conformance.engines.reference.scoring import batches
from npu_conformance.errors import PlanError
from npu_conformance.machine.capacity import GIB, free_disk, free_memory
from npu_conformance.machine.devices import host_cores

# Loading holds one shard beside the float32 weights, scoring a batch's activations.
_OVERHEAD = 1.15
_PROCESS_BYTES = 0.6 * GIB


@dataclass(frozen=True)
class Cost:
    """What a reference job takes at most: nothing of it cached yet."""

    sequences: int
    memory: float
    """Bytes."""
    disk: float
    """Bytes."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"float32 reference on the CPU: {self.sequences} sequences in one pass each, at most "
            f"{self.memory / GIB:.1f} GiB of memory, {self.disk / GIB:.2f} GiB of disk, {self.seconds:.0f} s"
        )


def reference_cost(checkpoint: Checkpoint, lengths: list[tuple[int, int]], width: int = 4) -> Cost:
    """Cost of scoring sequences once each.

    Args:
        checkpoint: the reference's weights.
        lengths: prompt tokens and forced tokens of each sequence.
        width: bytes of a weight, and of a logit as it is kept, in the dtype it computes in.
    """
    parameters = parameters_of(checkpoint)
    vocabulary = int(checkpoint.text_config.get("vocab_size", 0))
    # Of the largest matrix, made float32 (see `engines/products.py`).
    widened = 0 if width == 4 else vocabulary * int(checkpoint.text_config.get("hidden_size", 0)) * 4
    positions = sum(forced for _, forced in lengths)
    tokens = sum(prompt + forced for prompt, forced in lengths)
    return Cost(
        sequences=len(lengths),
        memory=parameters * width * _OVERHEAD + widened + _logits_bytes(lengths, vocabulary) + _PROCESS_BYTES,
        disk=positions * vocabulary * width,
        seconds=pass_seconds(parameters, tokens) + 5,
    )


def parameters_of(checkpoint: Checkpoint) -> int:
    """Number of weights, by the headers where they say it, else by the files' size."""
    return checkpoint.parameters or weight_bytes(checkpoint) // 2


def pass_seconds(parameters: int, tokens: int) -> float:
    """Seconds of a forward pass over so many tokens on this machine's processor, at the most it can do."""
    # It costs two operations a parameter and token (Kaplan et al. 2020, section 2.1).
    return 2.0 * parameters * tokens / matmul_rate()


def refuse_what_cannot_fit(cost: Cost, folder: Path) -> None:
    """Hold a cost against this machine.

    Args:
        cost: of a reference.
        folder: where its logits will be kept; need not exist yet.

    Raises:
        PlanError: memory or disk does not suffice.
    """
    if (problem := shortage(cost.memory, cost.disk, folder)) is not None:
        raise PlanError(problem)


def shortage(memory: float, disk: float, folder: Path) -> str | None:
    """What this machine has too little of for a float32 reference, in one line; None where it fits. Writes nothing.

    Args:
        memory: bytes it needs.
        disk: bytes of its logits.
        folder: where they will be kept; need not exist yet.
    """
    if memory > (free := free_memory()):
        return (
            f"the float32 reference needs {memory / GIB:.1f} GiB of memory, {free / GIB:.1f} GiB are "
            "free here: free some, or compute the reference on a larger machine"
        )
    if disk > (free := free_disk(folder)):
        return (
            f"the reference's logits need {disk / GIB:.1f} GiB in {folder}, {free / GIB:.1f} GiB are free: "
            "free some, or name another cache with NPU_CONFORMANCE_CACHE"
        )
    return None


def _logits_bytes(lengths: list[tuple[int, int]], vocabulary: int) -> int:
    """Logits of the largest batch, once as the model returns them and once as rows."""
    largest = 0
    for batch in batches([prompt + forced for prompt, forced in lengths]):
        kept = max(sum(lengths[i]) for i in batch) - min(lengths[i][0] for i in batch)
        largest = max(largest, len(batch) * kept + sum(lengths[i][1] for i in batch))
    return largest * vocabulary * 4


@cache
def matmul_rate() -> float:
    """Float32 operations a second of this machine on as many threads as a reference has, from small products.

    A product a core at once: this process's libraries may have been told to use fewer threads than a reference has.
    """
    side, count = 1024, host_cores()
    square = np.ones((side, side), dtype=np.float32)
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(square.__matmul__, [square] * count))
        started = time.perf_counter()
        list(pool.map(square.__matmul__, [square] * count))
        return 2.0 * side**3 * count / (time.perf_counter() - started)
