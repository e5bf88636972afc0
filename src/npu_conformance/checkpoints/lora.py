"""A LoRA's folder, as PEFT writes it."""

import json
from pathlib import Path
from typing import Any

from npu_conformance.errors import CheckpointError

# Ranks vLLM has kernels for; a smaller adapter runs in the next larger one.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def lora_options(adapter: Path) -> dict[str, Any]:
    """VLLM's engine arguments for serving this one adapter.

    Raises:
        CheckpointError: its adapter_config.json is missing, damaged or not a LoRA's.
    """
    path = adapter / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, rank = config.get("peft_type"), int(config["r"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read as a LoRA's config: {error!r}") from error
    if kind != "LORA":
        raise CheckpointError(f"{path}: peft_type is {kind!r}; only LORA is served by vLLM")
    fitting = next((known for known in _RANKS if rank <= known), None)
    if fitting is None:
        raise CheckpointError(f"{path}: r is {rank}, vLLM serves ranks up to {_RANKS[-1]}")
    return {"enable_lora": True, "max_lora_rank": fitting, "max_loras": 1}
