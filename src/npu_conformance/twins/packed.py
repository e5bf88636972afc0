"""Weights in AWQ and in compressed-tensors, rounded to nearest, as such models are published."""

from typing import Any

_GROUP = 128
_FP8_MAX = 448.0
# AutoAWQ's: which of eight outputs lies at each place of a word, the lowest bits first.
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)

AWQ: dict[str, Any] = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": _GROUP,
    "zero_point": True,
    "version": "gemm",
    "modules_to_not_convert": None,
}


def awq(name: str, weight: Any) -> dict[str, Any]:
    """Four bits with zero points, in groups of inputs, packed along the outputs."""
    import torch

    groups = weight.unflatten(1, (-1, _GROUP))
    low, high = groups.amin(dim=2).clamp_max(0), groups.amax(dim=2).clamp_min(0)
    scale = ((high - low) / 15).clamp_min(1e-5).to(torch.float16)
    zeros = (-low / scale.float()).round().clamp(0, 15)
    codes = (groups / scale.float()[:, :, None] + zeros[:, :, None]).round().clamp(0, 15).flatten(1)
    return {
        f"{name}.qweight": _words(codes.T, _AWQ_ORDER),
        f"{name}.qzeros": _words(zeros.T, _AWQ_ORDER),
        f"{name}.scales": scale.T.contiguous(),
    }


def w4a16(name: str, weight: Any) -> dict[str, Any]:
    """Symmetric, four bits in groups of inputs, packed along them."""
    import torch

    groups = weight.unflatten(1, (-1, _GROUP))
    scale = (groups.abs().amax(dim=2) / 7.5).clamp_min(1e-6).to(torch.bfloat16)
    codes = (groups / scale.float()[:, :, None]).round().clamp(-8, 7).flatten(1) + 8
    return {
        f"{name}.weight_packed": _words(codes, tuple(range(8))),
        f"{name}.weight_scale": scale,
        f"{name}.weight_shape": torch.tensor(weight.shape),
    }


def int8(name: str, weight: Any) -> dict[str, Any]:
    """Symmetric int8 with a scale for each output."""
    import torch

    scale = (weight.abs().amax(dim=1, keepdim=True) / 127.5).clamp_min(1e-8).to(torch.bfloat16)
    codes = (weight / scale.float()).round().clamp(-128, 127).to(torch.int8)
    return {f"{name}.weight": codes, f"{name}.weight_scale": scale}


def fp8_by_channel(name: str, weight: Any) -> dict[str, Any]:
    """float8_e4m3fn with a scale for each output."""
    import torch

    scale = (weight.abs().amax(dim=1, keepdim=True) / _FP8_MAX).clamp_min(1e-12).to(torch.bfloat16)
    codes = (weight / scale.float()).clamp(-_FP8_MAX, _FP8_MAX).to(torch.float8_e4m3fn)
    return {f"{name}.weight": codes, f"{name}.weight_scale": scale}


def compressed(form: str, dynamic: bool, **weights: Any) -> dict[str, Any]:
    """Options of compressed-tensors, as llm-compressor writes them.

    Args:
        form: the format.
        dynamic: activations are quantised too, by token, as the weights are.
        weights: their arguments.
    """
    plain = {"symmetric": True, "dynamic": False, "actorder": None, "block_structure": None, "group_size": None}
    activations = {"num_bits": 8, "type": weights["type"], "symmetric": True, "strategy": "token", "dynamic": True}
    group = {
        "targets": ["Linear"],
        "weights": plain | weights,
        "input_activations": activations if dynamic else None,
        "output_activations": None,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "quantization_status": "compressed",
    }


def _words(codes: Any, order: tuple[int, ...]) -> Any:
    """Codes of four bits [rows, 8 n] to int32 [rows, n]; `order` says which column lies at each place."""
    import torch

    lanes = codes.to(torch.int64).unflatten(1, (-1, 8))
    words = sum(lanes[:, :, column] << (4 * place) for place, column in enumerate(order))
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32).contiguous()
