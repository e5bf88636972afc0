"""What of a config is allowed and yet may not do what its writer expects."""

from collections.abc import Iterator

from npu_conformance.config.model import ModelConfig

ON_NPU = ("ascend", "compressed-tensors", "fp8", "deepseek_v4_fp8")
"""Quantisation methods that vllm-ascend has: platform.py:140 of 0.23.0 and :139 of 0.26.0rc1; `ascend` is ModelSlim."""


def notes(config: ModelConfig) -> Iterator[str]:
    """Each with its key, and what to do."""
    method = config.serve.quantization
    if method is not None and method not in ON_NPU and config.convert is None:
        yield (
            f"serve.quantization: {method}: vllm-ascend has no kernels for it; on an NPU serve a checkpoint of "
            f"{' or '.join(ON_NPU[:2])}, or plain weights"
        )
    for variant in config.variant_names:
        cached = config.options(variant).get("kv_cache_dtype", "auto")
        if cached not in ("auto", config.serve.dtype):
            yield (
                f"{variant}: kv_cache_dtype {cached}: the engine rounds keys and values, the reference does not, and "
                f"the limits are those of {config.serve.dtype}: expect failures, or give limits of your own"
            )
