"""What an engine's log says of its start: seconds, memory, and the KV cache. What it does not say is not measured.

The lines were read in vLLM 0.18, 0.23, 0.26 and 0.32, and in vllm-ascend, which has its own for weights; ranks write
the same line each, of which the largest counts: the memory is that of one rank.
"""

import re
from math import inf
from pathlib import Path

# An engine writes some 100 KiB until it is ready.
_READ = 1 << 25
_NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"
_LINES: dict[str, tuple[str, ...]] = {
    "weights_s": (rf"Loading (?:model )?weights took {_NUMBER} seconds",),
    "load_s": (rf"Model loading took {_NUMBER} GiB(?: memory)? and {_NUMBER} seconds",),
    "weights_gib": (
        rf"Model loading took {_NUMBER} GiB",
        # vllm-ascend's worker/model_runner_v1.py, of 2 ** 30 bytes.
        rf"Loading model weights took {_NUMBER} GB",
    ),
    "compile_s": (rf"torch\.compile (?:took|takes) {_NUMBER} s in total",),
    "graph_s": (rf"Graph capturing finished in {_NUMBER} secs",),
    "graph_gib": (rf"Graph capturing finished in {_NUMBER} secs, took {_NUMBER} GiB",),
    "init_s": (rf"init engine \(profile, create kv cache, warmup model\) took {_NUMBER} s",),
    "kv_cache_gib": (
        rf"Available KV cache memory: {_NUMBER} GiB",
        # On a CPU: platforms/cpu.py of 0.18, v1/worker/cpu_worker.py later.
        rf"Using {_NUMBER} GiB for KV cache",
        rf"\({_NUMBER}/{_NUMBER}\) GiB for KV cache",
    ),
    "kv_cache_tokens": (rf"KV cache size: {_NUMBER} tokens",),
}
# The last group of these patterns is the figure; of the others the first.
_LAST = ("load_s", "graph_gib")


def started(log: Path) -> dict[str, float]:
    """Figures by name (see `config.performance`) that an engine's log has."""
    with log.open("rb") as file:
        text = file.read(_READ).decode("utf-8", errors="replace")
    found: dict[str, float] = {}
    for name, patterns in _LINES.items():
        values = [value for pattern in patterns for value in _values(pattern, text, last=name in _LAST)]
        if values and 0 <= max(values) < inf:
            found[name] = max(values)
    return found


def _values(pattern: str, text: str, *, last: bool) -> list[float]:
    groups = (one.groups() for one in re.finditer(pattern, text))
    return [float(one[-1 if last else 0].replace(",", "")) for one in groups]
