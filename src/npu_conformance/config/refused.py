"""Engine options with which a comparison would mean nothing, and why."""

from collections.abc import Mapping
from typing import Any

from npu_conformance.machine.devices import POOL_VARIABLE, choosing_variables

# By their names in vLLM-Ascend's `additional_config` (ascend_config.py of 0.18.0, 0.23.0 and 0.26.0rc1).
_SPARSE_C8 = "keeps what sparse attention reads in 8 bits: another attention than the reference's, by design"
CORRUPTING = {
    "enable_reduce_sample": (
        "makes vLLM-Ascend compute log-probs over a part of the vocabulary only; nothing measured with it would mean "
        "anything"
    ),
    "mega_moe_max_tokens": (
        "limits the tokens that a rank's experts take; those beyond are dropped and get no expert's output, so the "
        "model is another one, by its load"
    ),
    "hamming_sparse": "leaves out keys by a hash of them: another attention than the reference's, by design",
    "enable_sparse_c8": _SPARSE_C8,
    "enable_sparse_sfa_c8": _SPARSE_C8,
    "enable_sparse_li_c8": _SPARSE_C8,
    "sparse_kv_offload_config": (
        "moves a part of the KV cache off the device; vLLM-Ascend has it for decode nodes of a disaggregated "
        "deployment, and elsewhere for debugging only"
    ),
    "rejection_sampler_config": (
        "accepts drafted tokens by other rules than the model's own probabilities, so that the answers are another "
        "model's"
    ),
}
"""Why, by name."""
_OWN = ("model", "logits_processors", "worker_extension_cls")
"""What the suite itself gives an engine."""
RANKS = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size")
"""Each multiplies vLLM's world size (config/parallel.py of 0.18.0 to 0.32.0). `decode_context_parallel_size` does not:
it divides the ranks that these make."""
MOST_RANKS = 4096
_COUNTS = {
    **dict.fromkeys(RANKS, MOST_RANKS),
    "block_size": 2**20,
    "num_gpu_blocks_override": 2**40,
    "kv_cache_memory_bytes": 2**50,
}
"""The most of what a run is forecast by; None is vLLM's own."""
# vLLM-Ascend calls a switch's variable by its option, behind this.
_PREFIX = "VLLM_ASCEND_"


def refuse_corrupting(options: Mapping[str, Any], envs: Mapping[str, str] | None = None) -> None:
    """Refuse engine arguments and environment variables with which a comparison would mean nothing.

    Args:
        options: engine arguments.
        envs: environment variables of the engine's process.

    Raises:
        ValueError: log-probs would be wrong by design, or the candidate another model than the reference.
    """
    additional = options.get("additional_config") or {}
    if not isinstance(additional, dict):
        told = f"additional_config: expected a mapping, found {additional!r}"
        raise ValueError(told)  # noqa: TRY004 (what pydantic tells)
    for name, why in CORRUPTING.items():
        if _is_on(additional.get(name)):
            raise ValueError(f"additional_config.{name} {why}: remove it")
    for variable, value in (envs or {}).items():
        name = variable.removeprefix(_PREFIX).lower()
        if variable.startswith(_PREFIX) and name in CORRUPTING and value.lower() not in ("", "0", "false"):
            raise ValueError(f"{variable} {CORRUPTING[name]}: remove it")
    for name in _OWN:
        if name in options:
            raise ValueError(f"{name}: the suite gives it to the engine itself; remove it")
    for name, most in _COUNTS.items():
        count = options.get(name)
        if count is not None and (type(count) is not int or not 1 <= count <= most):
            raise ValueError(f"{name}: expected a whole number from 1 to {most}, found {str(count)[:40]!r}")
    if "hf_overrides" in options:
        raise ValueError(
            "hf_overrides: would change the candidate's model and not the reference's; write a copy of the checkpoint "
            "with another config.json instead"
        )


def refuse_chosen_devices(envs: Mapping[str, str]) -> None:
    """Refuse environment variables that choose an engine's devices.

    Raises:
        ValueError: one does.
    """
    if chosen := [name for name in envs if name in choosing_variables()]:
        raise ValueError(
            f"{chosen[0]}: each engine is lent devices, so a config chooses none; remove it, and name those that "
            f"may be lent in the environment of the run: {POOL_VARIABLE}=0-3"
        )


def _is_on(value: Any) -> bool:
    """Whether a switch is on; a section is when one of its own switches is."""
    if isinstance(value, dict):
        return any(_is_on(inner) for name, inner in value.items() if name.startswith("enable"))
    return bool(value)
