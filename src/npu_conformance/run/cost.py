"""What a job will cost, before it runs: refuse what cannot fit, with the figure."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from npu_conformance.checkpoints.checkpoint import Checkpoint, greatest, weight_bytes
from npu_conformance.config.limits import ReferenceDtype
from npu_conformance.engines.reference.scoring import batches
from npu_conformance.errors import PlanError
from npu_conformance.machine.capacity import GIB, computes_in, free_disk, free_memory
from npu_conformance.machine.devices import host_cores
from npu_conformance.run.kv_cache import WIDTHS

# Loading holds one shard beside the float32 weights, scoring a batch's activations.
_OVERHEAD = 1.15
_PROCESS_BYTES = 0.6 * GIB
STARTING = 8.0
"""Seconds until a reference's process has imported torch and transformers: 8 to 9 on 2 cores of a Xeon at 2.5 GHz."""
READING = GIB
"""Bytes a second that a disk gives at least."""
NATIVE = 2.0
"""Of float32's rate, that of 16 bits where the processor has instructions for them: twice as many numbers in each."""
# Products on each core of which the fastest counts.
_PRODUCTS = 5


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
            f"reference on the CPU: {self.sequences} sequences in one pass each, at most "
            f"{self.memory / GIB:.1f} GiB of memory, {self.disk / GIB:.2f} GiB of disk, {self.seconds:.0f} s"
        )


def reference_cost(
    checkpoint: Checkpoint, lengths: list[tuple[int, int]], dtype: ReferenceDtype = "float32", *, follows: bool = False
) -> Cost:
    """Cost of scoring sequences once each.

    Args:
        checkpoint: the reference's weights.
        lengths: prompt tokens and forced tokens of each sequence.
        dtype: that it computes in; logits are kept in it, those of float64 in float32.
        follows: whether another run comes before it in its process.
    """
    parameters, width = parameters_of(checkpoint), WIDTHS[dtype]
    vocabulary = greatest(checkpoint.text_config.get("vocab_size"))
    # Of the largest matrix, made float32 (see `engines/reference/products.py`).
    widened = 0 if width >= 4 else vocabulary * greatest(checkpoint.text_config.get("hidden_size")) * 4
    positions = sum(forced for _, forced in lengths)
    tokens = sum(prompt + forced for prompt, forced in lengths)
    rate = matmul_rate() * (NATIVE if native(dtype) else min(1, 4 / width))
    return Cost(
        sequences=len(lengths),
        memory=parameters * width * _OVERHEAD + widened + _logits_bytes(lengths, vocabulary) + _PROCESS_BYTES,
        disk=positions * vocabulary * min(width, 4),
        seconds=(0 if follows else STARTING)
        # Weights are read in 16 bits.
        + 2 * parameters / READING
        # Where the processor has none of the dtype's products, they are computed in float32 (`products_in`).
        + operations(checkpoint, tokens, positions) / rate,
    )


def decoding(prompt: int, tokens: int) -> list[tuple[int, int]]:
    """Lengths of what the reference is timed at: three answers to a prompt, and a pass over all weights a token."""
    return [(prompt, 0)] * 3 + [(1, 0)] * tokens


def parameters_of(checkpoint: Checkpoint) -> int:
    """Number of weights, by the headers where they say it, else by the files' size."""
    return checkpoint.parameters or weight_bytes(checkpoint) // 2


def operations(checkpoint: Checkpoint, tokens: int, rows: int) -> float:
    """Operations of a forward pass: two a parameter and token (Kaplan et al. 2020, section 2.1).

    The head works at the rows that are kept, an embedding is looked up, and of a layer's experts some see a token.

    Args:
        checkpoint: the weights.
        tokens: fed.
        rows: of logits.
    """
    config = checkpoint.text_config
    head = greatest(config.get("vocab_size")) * greatest(config.get("hidden_size"))
    own_head = any(name.endswith("lm_head.weight") for name in checkpoint.tensors)
    body = max(0.0, parameters_of(checkpoint) - head * (2 if own_head else 1))
    if (experts := checkpoint.experts) and (asked := greatest(config.get("num_experts_per_tok"))):
        routed = sum(tensor.size for name, tensor in checkpoint.tensors.items() if ".experts." in name)
        body -= routed * (1 - min(1.0, asked / experts))
    return 2.0 * (body * tokens + head * rows)


def native(dtype: str) -> bool:
    """Whether the processor multiplies numbers of 16 bits of this dtype itself."""
    return dtype in ("bfloat16", "float16") and computes_in(dtype)


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

    A product a core at once: this process's libraries may have been told to use fewer threads than a reference has. It
    is the processor's time that counts: by the clock, others who worked here meanwhile made it seven times less.
    """
    side, count = 1024, host_cores()
    square = np.ones((side, side), dtype=np.float32)
    fastest = float("inf")
    with ThreadPoolExecutor(count) as pool:
        for _ in range(_PRODUCTS):
            started = time.process_time()
            list(pool.map(square.__matmul__, [square] * count))
            fastest = min(fastest, (time.process_time() - started) / count)
    return 2.0 * side**3 * count / max(fastest, 1e-9)
