"""Merges a LoRA into a model of transformers, and refuses one that is not this model's."""

from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.checkpoint import some
from npu_conformance.checkpoints.headers import read_header
from npu_conformance.checkpoints.pickled import read_pickled_header
from npu_conformance.errors import CheckpointError, JobError


def merge_adapter(model: Any, adapter: Path) -> Any:
    """The model with a LoRA's change added to its weights, in the model's own dtype.

    Raises:
        CheckpointError: the adapter cannot be read, or does not fit the model tensor by tensor: PEFT would leave out
            what it does not find, and say nothing.
        JobError: PEFT is not installed.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise JobError("the reference of a model with an adapter needs peft: pip install --no-deps peft") from error
    try:
        adapted = PeftModel.from_pretrained(model, adapter, is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{adapter}: cannot be loaded as a LoRA of this model: {error}") from error
    stored = {name for file in sorted(adapter.glob("adapter_model.*")) for name in _names(file)}
    used = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    for names, what in ((stored - used, "holds what the model has no place for"), (used - stored, "lacks")):
        if names:
            raise CheckpointError(f"{adapter}: {what}: {some(sorted(names))}: is it another model's adapter?")
    return adapted.merge_and_unload().eval()


def _names(file: Path) -> list[str]:
    return list(read_header(file) if file.suffix == ".safetensors" else read_pickled_header(file))
