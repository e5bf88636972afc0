"""Small checkpoints that the conversion's tests share, and how they are edited and read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npu_conformance.conversion import ternary
from npu_conformance.conversion.formats import fp8

BLOCK = 32
UP, DOWN = "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight"
EMBEDDING, NORM, COUNTER = "model.embed_tokens.weight", "model.norm.weight", "model.counter"
INPUT_SCALE = "model.layers.0.mlp.up_proj.input_scale"


def save_checkpoint(folder: Path, tensors: dict[str, Any], config: dict[str, Any]) -> Path:
    """A checkpoint folder of one safetensors file."""
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], **config}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    return folder


def save_fp8(folder: Path) -> Path:
    """Two FP8 weights, of sizes that blocks do not divide, and tensors that are not quantised."""
    import torch

    random = torch.Generator().manual_seed(0)
    tensors: dict[str, Any] = {
        EMBEDDING: torch.randn(10, 40, generator=random).to(torch.bfloat16),
        NORM: torch.randn(40, generator=random),
        COUNTER: torch.tensor(7),
        INPUT_SCALE: torch.tensor(0.5),
    }
    for name, shape in ((UP, (72, 40)), (DOWN, (40, 72))):
        grid = [-(-size // BLOCK) for size in shape]
        tensors[name] = torch.randn(shape, generator=random).mul(100).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = torch.rand(grid, generator=random) / 100 + 1e-4
    quantisation = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}
    config = {"vocab_size": 10, "dtype": "bfloat16", "quantization_config": quantisation}
    return save_checkpoint(folder, tensors, config)


def save_latents(folder: Path) -> Path:
    """A `.bin` checkpoint of latents, of which one weight is fused already, with a head that is the embedding."""
    import torch

    random = torch.Generator().manual_seed(0)
    embedding = torch.randn(10, 32, generator=random).to(torch.bfloat16)
    up, down = torch.randn(2, 32, 32, generator=random).to(torch.bfloat16)
    fused = ternary.fuse(down, 16).to(torch.bfloat16)
    folder.mkdir()
    torch.save({EMBEDDING: embedding, "lm_head.weight": embedding, UP: up, DOWN: fused}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["A"], "vocab_size": 10, "torch_dtype": "bfloat16"})
    )
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    return folder


def edit_tensors(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a checkpoint's tensors in place."""
    from safetensors.torch import load_file, save_file

    tensors = {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **keys: Any) -> None:
    """Set keys of a checkpoint's config; None removes one."""
    config = json.loads((folder / "config.json").read_text()) | keys
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def load_all(folder: Path) -> dict[str, Any]:
    """All tensors of a folder, by safetensors' own reader."""
    from safetensors.torch import load_file

    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


def dequantised(folder: Path, name: str) -> Any:
    """A weight of the checkpoint in float32."""
    tensors = load_all(folder)
    return fp8.dequantise(tensors[name], tensors[f"{name}_scale_inv"], (BLOCK, BLOCK))


def record_of(folder: Path) -> Any:
    """What a conversion wrote down."""
    return json.loads((folder / "conversion.json").read_text())


def unwatched(_name: str, _done: int, _count: int) -> None:
    """Progress that nobody watches."""
