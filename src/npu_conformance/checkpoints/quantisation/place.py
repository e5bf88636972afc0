"""Where a checkpoint says how it is quantised; the places and their order are vLLM's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.headers import find_json, read_json

KEYS = ("quantization_config", "compression_config")
"""Of config.json and its `text_config`; the second one is of older compressed-tensors."""
MODELOPT_FILE = "hf_quant_config.json"
"""Where ModelOpt wrote its options before they went into config.json; vLLM reads it, transformers does not."""
LEGACY_FILE = "quantize_config.json"
"""Where AutoGPTQ wrote its options; neither transformers nor vLLM look there by themselves."""

# vllm/transformers_utils/model_arch_config_convertor.py, _normalize_quantization_config; other algorithms keep the
# name of their producer.
_MODELOPT = {"NVFP4": "modelopt_fp4", "MXFP8": "modelopt_mxfp8", "MIXED_PRECISION": "modelopt_mixed"}


@dataclass(frozen=True)
class Announced:
    """What a checkpoint says of its quantisation, not yet held against a schema."""

    where: str
    """File and key, for messages: `config.json: quantization_config`."""
    content: Any
    """As it stands there."""

    @property
    def options(self) -> dict[str, Any]:
        """The options with `quant_method` as vLLM normalises it; empty where they are no JSON object."""
        if not isinstance(self.content, dict):
            return {}
        method = self.content.get("quant_method") or self._modelopt()
        if not isinstance(method, str):
            return dict(self.content)
        return self.content | {"quant_method": method.lower().replace("compressed_tensors", "compressed-tensors")}

    def _modelopt(self) -> str | None:
        """What ModelOpt's own form of options stands for."""
        nested = self.content.get("quantization")
        if not isinstance(nested, dict) or "quant_algo" not in nested:
            return None
        return _MODELOPT.get(str(nested["quant_algo"]).upper(), "modelopt")


def find_announced(folder: Path, config: dict[str, Any]) -> Announced | None:
    """The first place that says anything; null is nothing.

    Args:
        folder: the checkpoint.
        config: its config.json.
    """
    nested = config.get("text_config")
    parts = [("", config), *([("text_config.", nested)] if isinstance(nested, dict) else [])]
    places = [(f"config.json: {within}{key}", part.get(key)) for within, part in parts for key in KEYS]
    if config.get(KEYS[0]) is None:
        places.insert(0, (MODELOPT_FILE, find_json(folder / MODELOPT_FILE)))
    return next((Announced(where, content) for where, content in places if content is not None), None)


def find_legacy(folder: Path) -> Announced | None:
    """AutoGPTQ's file, which belongs to no other method and did not always name its own.

    Raises:
        CheckpointError: it is there and cannot be read.
    """
    if not (folder / LEGACY_FILE).is_file():
        return None
    return Announced(LEGACY_FILE, {"quant_method": "gptq"} | read_json(folder / LEGACY_FILE, ""))
