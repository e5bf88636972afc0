"""Adapters' folders for tests of inspection, as PEFT writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tests.unit.helpers.tiny_checkpoints import LLAMA, linears

Matrices = dict[str, NDArray[Any]]
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/Base",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""Of a LoRA of `tiny_checkpoints.LLAMA`."""
Q0 = "base_model.model.model.layers.0.self_attn.q_proj"


def matrices(
    modules: tuple[str, ...] = ("self_attn.q_proj", "self_attn.v_proj"),
    rank: int = 8,
    root: str = "model.",
    layers: int = LLAMA["num_hidden_layers"],
) -> Matrices:
    """Matrices A and B of some modules in every layer."""
    random, found = np.random.default_rng(0), {}
    for layer in range(layers):
        for module in modules:
            outputs, inputs = linears(LLAMA)[module]
            name = f"base_model.model.{root}layers.{layer}.{module}"
            found[f"{name}.lora_A.weight"] = random.normal(size=(rank, inputs)).astype(np.float32)
            found[f"{name}.lora_B.weight"] = random.normal(size=(outputs, rank)).astype(np.float32)
    return found


def write_adapter(folder: Path, weights: Matrices | None = None, /, **changed: Any) -> Path:
    """A folder with `CONFIG` and what is changed of it, and weights; by default those that belong to it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | changed))
    save_file(matrices() if weights is None else weights, folder / "adapter_model.safetensors")
    return folder
