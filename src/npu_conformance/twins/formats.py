"""Stores a twin's weights in a quantised checkpoint format, as its model is published."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npu_conformance.twins.packed import AWQ, awq, compressed, fp8_by_channel, int8, w4a16
from npu_conformance.twins.recipes import Format

_BLOCK = 128
_GROUP = 128
_FP8_MAX = 448.0
_WEIGHTS = "model.safetensors"


def store(form: Format, base: Path, destination: Path) -> None:
    """Write the base's checkpoint again with the linear weights of its layers quantised; not ModelSlim's."""
    from safetensors.torch import load_file, save_file

    quantise, about = _FORMATS[form]
    tensors: dict[str, Any] = {}
    for name, weight in load_file(base / _WEIGHTS).items():
        linear = ".layers." in name and weight.dim() == 2
        tensors |= quantise(name.removesuffix(".weight"), weight.float()) if linear else {name: weight}
    copy_beside(base, destination)
    save_file(tensors, destination / _WEIGHTS, metadata={"format": "pt"})
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = about
    (destination / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def copy_beside(base: Path, destination: Path) -> None:
    """Copy what lies beside the base's weights."""
    for file in base.iterdir():
        if file.name not in (_WEIGHTS, "twin.json"):
            shutil.copyfile(file, destination / file.name)


def _fp8(name: str, weight: Any) -> dict[str, Any]:
    """Blocks of float8_e4m3fn with a scale each, as DeepSeek-V3 introduced them and Qwen3-FP8 is published."""
    import torch

    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -columns % _BLOCK, 0, -rows % _BLOCK))
    blocks = padded.unflatten(0, (-1, _BLOCK)).unflatten(2, (-1, _BLOCK))
    scale = blocks.abs().amax(dim=(1, 3)).clamp_min(1e-12) / _FP8_MAX
    codes = (blocks / scale[:, None, :, None]).flatten(2).flatten(0, 1)[:rows, :columns]
    return {
        f"{name}.weight": codes.contiguous().to(torch.float8_e4m3fn),
        f"{name}.weight_scale_inv": scale,
    }


def _gptq_int8(name: str, weight: Any) -> dict[str, Any]:
    """Symmetric int8 in groups of input channels, packed as GPTQ checkpoints are; rounded to nearest."""
    import torch

    rows, columns = weight.shape
    groups = weight.unflatten(1, (-1, _GROUP))
    scale = (groups.abs().amax(dim=2) / 127).clamp_min(1e-8).to(torch.float16)
    codes = (groups / scale.float()[:, :, None]).round().clamp(-128, 127).flatten(1).to(torch.int32) + 128
    lanes = codes.T.contiguous().unflatten(0, (-1, 4))
    packed = sum(lanes[:, lane].to(torch.int64) << (8 * lane) for lane in range(4))
    # The first convention of GPTQ stores a zero point less one: 127 for 128, four to a word.
    zeros = torch.full((columns // _GROUP, rows // 4), 0x7F7F7F7F, dtype=torch.int32)
    return {
        f"{name}.qweight": _as_int32(packed),
        f"{name}.qzeros": zeros,
        f"{name}.scales": scale.T.contiguous(),
        f"{name}.g_idx": torch.arange(columns, dtype=torch.int32) // _GROUP,
    }


def _as_int32(words: Any) -> Any:
    """Unsigned 32-bit words, held in int64, as the int32 with the same bits."""
    import torch

    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


_FORMATS: dict[str, tuple[Callable[[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "fp8": (
        _fp8,
        {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "weight_block_size": [_BLOCK, _BLOCK],
            "modules_to_not_convert": ["lm_head"],
        },
    ),
    "gptq": (
        _gptq_int8,
        {
            "quant_method": "gptq",
            "bits": 8,
            "group_size": _GROUP,
            "sym": True,
            "desc_act": False,
            "checkpoint_format": "gptq",
            "lm_head": False,
        },
    ),
    "awq": (awq, AWQ),
    "w4a16": (
        w4a16,
        compressed("pack-quantized", dynamic=False, num_bits=4, type="int", strategy="group", group_size=_GROUP),
    ),
    "w8a8": (int8, compressed("int-quantized", dynamic=True, num_bits=8, type="int", strategy="channel")),
    "fp8-dynamic": (
        fp8_by_channel,
        compressed("float-quantized", dynamic=True, num_bits=8, type="float", strategy="channel"),
    ),
}
