"""A small LoRA for a probe: random, of a fixed seed, on every linear layer of a checkpoint's decoder."""

from pathlib import Path

from npu_conformance.checkpoints.weight_files import read_tensors
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.storage import write_json
from npu_conformance.twins.recipes import LINEAR

_RANK = 8
# An adapter's usual size is far smaller; this one is to be seen in every row.
_SCALE = 0.3


def write_adapter(checkpoint: Path, destination: Path) -> None:
    """Write it as a PEFT folder.

    Raises:
        CheckpointError: the checkpoint has no linear layer by the usual names.
    """
    import torch
    from safetensors.torch import save_file

    shapes = {
        name.removesuffix(".weight"): tensor.shape
        for name, tensor in read_tensors(checkpoint).items()
        if name.removesuffix(".weight").rpartition(".")[2] in LINEAR
    }
    if not shapes:
        raise CheckpointError(f"{checkpoint}: has none of {', '.join(LINEAR)}, so no LoRA can be made for it")
    random = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}
    for name, (outputs, inputs) in sorted(shapes.items()):
        down = torch.randn(_RANK, inputs, generator=random) / inputs**0.5
        up = torch.randn(outputs, _RANK, generator=random) * _SCALE
        weights |= {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
    destination.mkdir(parents=True)
    save_file(weights, destination / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": _RANK, "lora_alpha": _RANK, "target_modules": list(LINEAR), "bias": "none"}
    write_json(destination / "adapter_config.json", config | {"task_type": "CAUSAL_LM", "lora_dropout": 0.0})
