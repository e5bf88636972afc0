"""Variants: named sets of engine options. `base` changes one thing at a time; `as_served` is the YAML's own."""

from typing import Any

from npu_conformance.config import Serve

JUDGED = ("base", "as_served")
"""The variants every model is judged in."""

# What makes `base` the plainest engine: every feature that reorders arithmetic or reuses state is off.
_BASE: dict[str, Any] = {
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "enable_chunked_prefill": False,
    "async_scheduling": False,
}


def engine_options(serve: Serve, variant: str) -> dict[str, Any]:
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
    raise KeyError(variant)
