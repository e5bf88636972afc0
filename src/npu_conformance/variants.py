"""Variants: named sets of engine options. `base` changes one thing at a time; `as_served` is the YAML's own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npu_conformance.config import Serve

JUDGED = ("base", "as_served")
"""The variants every model is judged in."""
CATALOGUE: dict[str, dict[str, Any]] = {
    "tp2": {"tensor_parallel_size": 2},
    "tp4": {"tensor_parallel_size": 4},
}
"""Variants a model config may ask for besides: what each changes of `base`."""

# What makes `base` the plainest engine: every feature that reorders arithmetic or reuses state is off.
_BASE: dict[str, Any] = {
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "enable_chunked_prefill": False,
    "async_scheduling": False,
}


def engine_options(serve: "Serve", variant: str) -> dict[str, Any]:
    """VLLM engine arguments of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    served = serve.model_dump(exclude_none=True, exclude={"engine_args", "trust_remote_code"})
    options = {**served, **serve.engine_args}
    if variant == "as_served":
        return options
    if variant == "base":
        # Without chunking a prompt must fit into one step, so a smaller step than the YAML's is dropped.
        options.pop("max_num_batched_tokens", None)
        options.pop("compilation_config", None)
        return {**options, **_BASE}
    return engine_options(serve, "base") | CATALOGUE[variant]


def ranks(options: dict[str, Any]) -> int:
    """Devices that engine options need."""
    return int(options.get("tensor_parallel_size", 1)) * int(options.get("pipeline_parallel_size", 1))
