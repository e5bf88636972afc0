"""Whether an engine on a CPU finds room on this machine, before it starts: its weights, its KV cache, its process."""

from collections.abc import Mapping, Sequence
from typing import Any

from npu_conformance.config.variants import ranks
from npu_conformance.errors import PlanError
from npu_conformance.machine.capacity import GIB, free_memory
from npu_conformance.run.kv_cache import Length, given_bytes, own_longest

# Memory of a process with an engine besides weights and KV cache: twins' peaked at 1.7 to 2.0 GiB in all.
PROCESS = 1.7 * GIB


def engine_bytes(weights: float, options: dict[str, Any], cache: float) -> float:
    """Bytes of memory that an engine on a CPU takes.

    Args:
        weights: bytes that it loads.
        options: its engine options.
        cache: bytes of each rank's KV cache.
    """
    return ranks(options) * (PROCESS + cache) + weights


def refuse_what_has_no_room(
    name: str,
    config: Mapping[str, Any],
    weights: float,
    options: dict[str, Any],
    lengths: Sequence[Length],
    envs: Mapping[str, str],
) -> None:
    """Hold an engine against this machine's free memory.

    Args:
        name: of model and variant.
        config: config.json of the language model.
        weights: bytes that it loads.
        options: its engine options.
        lengths: of the run's requests.
        envs: environment variables of the config.

    Raises:
        PlanError: it does not fit. Where vLLM is to take a share of the machine, vLLM itself says whether it can.
    """
    cache = given_bytes(config, options, lengths, envs)
    if cache is None or (needed := engine_bytes(weights, options, cache)) <= (free := free_memory()):
        return
    longest, remedy = options.get("max_model_len"), "free some, ask fewer prompts (--prompts), or use a larger machine"
    if longest is None:
        longest = own_longest(config)
        remedy = "name a smaller serve.max_model_len in the YAML, or use a larger machine"
    room = "" if longest is None else f" with room for a request of {longest:,} tokens"
    raise PlanError(
        f"{name}: the engine needs {needed / GIB:.1f} GiB of memory ({weights / GIB:.1f} of weights, "
        f"{ranks(options) * cache / GIB:.1f} of KV cache{room}), {free / GIB:.1f} GiB are free here: {remedy}"
    )
