"""Experts in one tensor whose rows and columns are as many: which are which cannot be seen."""

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some

_TRANSPOSED = ("qwen3_vl_moe", "qwen3_vl_moe_text")
"""Stored as [experts, inputs, outputs]. vLLM turns each round (qwen3_vl_moe.py); transformers only where the shape is
not that of its parameter (`check_dims` in conversion_mapping.py of 5.19)."""


def fused_expert_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Experts that transformers would leave as they lie, and vLLM would not."""
    if checkpoint.config.get("model_type") not in _TRANSPOSED:
        return []
    found = {
        name: tensor.shape
        for name, tensor in checkpoint.tensors.items()
        if name.endswith((".experts.gate_up_proj", ".experts.down_proj"))
        and len(tensor.shape) == 3
        and tensor.shape[1] == tensor.shape[2]
    }
    if not found:
        return []
    message = (
        f"is {list(next(iter(found.values())))}, as many rows as columns: vLLM turns experts round when it loads them, "
        "transformers only where the shape shows it; use a model in which they differ, or a transformers that is mended"
    )
    return [Finding("error", some(found), message)]
