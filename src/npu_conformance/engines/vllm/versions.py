"""Where vLLM keeps what this suite reads of a running engine, version by version: a row a fact.

A row names places, the newest first, as dotted paths; the first that is there counts. A release that moved something
gets a place in front of its row, and nothing else is touched. `npu-conformance dev probe` says on a machine whether the
rows are right. They were read in vLLM 0.18, 0.23, 0.26 and 0.32; older shapes stand where we still meet them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """Something that is read of vLLM's objects."""

    places: tuple[str, ...]
    """Dotted paths, the newest first."""
    otherwise: Any = None
    """What it is where no place is there, or all hold None."""


def _at(*places: str, otherwise: Any = None) -> Fact:
    return Fact(places, otherwise)


EFFECTIVE: Mapping[str, Fact] = {
    "dtype": _at("model_config.dtype"),
    "enforce_eager": _at("model_config.enforce_eager"),
    "compilation_mode": _at("compilation_config.mode", "compilation_config.level"),
    "cudagraph_mode": _at("compilation_config.cudagraph_mode"),
    "enable_prefix_caching": _at("cache_config.enable_prefix_caching"),
    "enable_chunked_prefill": _at(
        "scheduler_config.enable_chunked_prefill", "scheduler_config.chunked_prefill_enabled"
    ),
    "async_scheduling": _at("scheduler_config.async_scheduling"),
    "block_size": _at("cache_config.block_size"),
    "max_model_len": _at("model_config.max_model_len"),
    "max_num_batched_tokens": _at("scheduler_config.max_num_batched_tokens"),
    "max_num_seqs": _at("scheduler_config.max_num_seqs"),
    "tensor_parallel_size": _at("parallel_config.tensor_parallel_size"),
    "pipeline_parallel_size": _at("parallel_config.pipeline_parallel_size"),
    "enable_expert_parallel": _at("parallel_config.enable_expert_parallel"),
    "quantization": _at("model_config.quantization"),
    "additional_config": _at("additional_config", otherwise={}),
}
"""Of an engine's `VllmConfig`: what it really runs with, by vLLM's argument names."""

RUNNER: Mapping[str, Fact] = {
    "request_ids": _at("input_batch.req_ids"),
    "starts": _at("query_start_loc.np"),
    "computed": _at("input_batch.num_computed_tokens_cpu"),
    "prompts": _at("input_batch.num_prompt_tokens"),
    "asynchronous": _at("use_async_scheduling", otherwise=False),
}
"""Of a worker's model runner: the batch of the last step. A runner of another make, such as vLLM's second, has none."""

ATTENTION_LAYERS = _at("static_forward_context", otherwise={})
"""Of a `CompilationConfig`: the model's layers with a KV cache, by name."""
SHUTDOWN = _at("engine_core.shutdown")
"""Of an `LLMEngine`: ends it and the processes it started."""
_LORA = "WithLoRA"


def read(root: Any, fact: Fact) -> Any:
    """A fact of one of vLLM's objects."""
    for place in fact.places:
        found = root
        for name in place.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return found
    return fact.otherwise


def plain(value: Any) -> Any:
    """A value as JSON holds it: modes and dtypes by their names."""
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return name
    return value if isinstance(value, int | float | bool | dict | None) else str(value).removeprefix("torch.")


def effective(config: Any) -> dict[str, Any]:
    """What an engine runs with, from its `VllmConfig`; it may differ from what was asked."""
    return {name: plain(read(config, fact)) for name, fact in EFFECTIVE.items()}


def graphs_on(config: Any) -> bool:
    """Whether an engine compiles its model or captures graphs of it, from its `VllmConfig`."""
    modes = (plain(read(config, EFFECTIVE[name])) for name in ("compilation_mode", "cudagraph_mode"))
    return any(mode not in (None, 0, "NONE", "NO_COMPILATION") for mode in modes)


def own_request_id(returned: str | None, ours: str) -> str:
    """The engine's own id of a request: what `add_request` returns, or in versions where it returns nothing, ours."""
    return returned or ours


def positions_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The positions among what a model's forward pass is called with; None where there are none."""
    return kwargs.get("positions", args[1] if len(args) > 1 else None)


def is_lora_layer(module: Any) -> bool:
    """Whether vLLM put a module into the place of another to apply a LoRA."""
    return type(module).__name__.endswith(_LORA)
