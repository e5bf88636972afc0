"""The engine arguments that variants make."""

import math
from typing import Any

from npu_conformance.config.refused import RANKS
from npu_conformance.config.serve import Serve

# What makes `base` the plainest engine: every feature that reorders arithmetic or reuses state is off.
_BASE: dict[str, Any] = {
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "enable_chunked_prefill": False,
    "async_scheduling": False,
}


def engine_options(serve: Serve, variant: str, changed: dict[str, Any] | None = None) -> dict[str, Any]:
    """VLLM engine arguments of a variant.

    Args:
        serve: the config's serve section.
        variant: `base`, `as_served` or another's name.
        changed: what that other changes of `base`.
    """
    served = serve.model_dump(exclude_none=True, exclude={"engine_args", "trust_remote_code"})
    options = {**served, **serve.engine_args}
    if variant == "as_served":
        return options
    # Without chunking a prompt must fit into one step, so the YAML's own, perhaps smaller, step is dropped.
    options.pop("max_num_batched_tokens", None)
    options.pop("compilation_config", None)
    return merged({**options, **_BASE}, changed or {})


def merged(options: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Options with others on top; of mappings entry by entry, and without those that are None: vLLM's own default."""
    both = {
        key: merged(options[key], value) if isinstance(options.get(key), dict) and isinstance(value, dict) else value
        for key, value in changed.items()
    }
    return {key: value for key, value in {**options, **both}.items() if value is not None}


def served_features(serve: Serve) -> dict[str, dict[str, Any]]:
    """What `as_served` changes of `base`, option by option, as variants of their own."""
    base, served = engine_options(serve, "base"), engine_options(serve, "as_served")
    changed = {name: served.get(name) for name in {*base, *served} if base.get(name) != served.get(name)}
    return {name: {name: value} for name, value in sorted(changed.items())}


def ranks(options: dict[str, Any]) -> int:
    """Devices that engine options need."""
    return math.prod(options.get(name) or 1 for name in RANKS)
