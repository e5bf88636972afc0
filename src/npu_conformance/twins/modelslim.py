"""A twin's weights as ModelSlim stores W8A8: int8 codes, scales, and a description that names each tensor's scheme.

Attention takes inputs with one scale for all tokens (`W8A8`), found on texts that the twin knows; the MLP's have one a
token (`W8A8_DYNAMIC`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npu_conformance.twins.packed import int8

_DESCRIPTION = "quant_model_description.json"
_WEIGHTS = "quant_model_weights.safetensors"
_BASE_WEIGHTS = "model.safetensors"
_STATIC, _DYNAMIC, _FLOAT = "W8A8", "W8A8_DYNAMIC", "FLOAT"


def store_modelslim(base: Path, destination: Path, texts: Sequence[Sequence[int]]) -> None:
    """Write the base's checkpoint again with the linear weights of its layers quantised.

    Args:
        base: folder of a twin with plain weights.
        destination: folder to write into, where its other files are already.
        texts: token ids that the ranges of static inputs are found on.
    """
    from safetensors.torch import load_file, save_file

    ranges = _ranges(base, texts)
    tensors: dict[str, Any] = {}
    description: dict[str, Any] = {"model_quant_type": _STATIC}
    for name, weight in load_file(base / _BASE_WEIGHTS).items():
        module = name.removesuffix(".weight")
        if ".layers." in name and weight.dim() == 2:
            static = ".self_attn." in name
            stored = _dynamic(weight) | (_static(weight, *ranges[module]) if static else {})
            scheme = _STATIC if static else _DYNAMIC
        else:
            stored, scheme = {"weight": weight}, _FLOAT
        tensors |= {f"{module}.{part}": value for part, value in stored.items()}
        description |= {f"{module}.{part}": scheme for part in stored}
    save_file(tensors, destination / _WEIGHTS, metadata={"format": "pt"})
    (destination / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _dynamic(weight: Any) -> dict[str, Any]:
    import torch

    parts = {name.removeprefix("x."): value for name, value in int8("x", weight.float()).items()}
    return parts | {"weight_offset": torch.zeros_like(parts["weight_scale"])}


def _static(weight: Any, least: float, greatest: float) -> dict[str, Any]:
    """What an integer product needs besides, so that its sum becomes the layer's output by one multiplication."""
    import torch

    parts = _dynamic(weight)
    scale = torch.tensor([max(greatest - least, 1e-5) / 255]).to(torch.bfloat16)
    offset = torch.round(-128 - torch.tensor(least) / scale.float()).clamp(-128, 127).to(torch.int8)
    sums = parts["weight"].to(torch.int32).sum(dim=1)
    return {
        "input_scale": scale,
        "input_offset": offset,
        "quant_bias": (-sums * offset.to(torch.int32)).to(torch.int32),
        "deq_scale": parts["weight_scale"].float().flatten() * scale.float(),
    }


def _ranges(base: Path, texts: Sequence[Sequence[int]]) -> dict[str, tuple[float, float]]:
    """Least and greatest value that enters each linear layer, zero among them, by its name."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True).eval()
    found: dict[str, tuple[float, float]] = {}

    def watch(name: str) -> Any:
        def seen(_module: Any, inputs: tuple[Any, ...]) -> None:
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, inputs[0].min().item()), max(high, inputs[0].max().item())

        return seen

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(watch(name))
    with torch.inference_mode():
        for ids in texts:
            model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    return found
