"""Loads a checkpoint into transformers, quantised ones as the plain weights they stand for."""

from pathlib import Path
from typing import Any

from npu_conformance.audit.published import published_state_dict
from npu_conformance.checkpoints.inspect import Checkpoint, inspect
from npu_conformance.errors import CheckpointError


def load_model(checkpoint: Path, dtype: str, attn_implementation: str, *, trust_remote_code: bool) -> Any:
    """A causal language model with plain weights in `dtype`, on the CPU, ready to run.

    A quantised checkpoint is dequantised by code that shares nothing with our converters: block FP8 by transformers
    itself, GPTQ by `audit.published`.

    Raises:
        CheckpointError: weights are missing, left over or of another shape than config.json says.
    """
    import torch
    from transformers import AutoConfig

    files = inspect(checkpoint)
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "attn_implementation": attn_implementation,
        "trust_remote_code": trust_remote_code,
        "local_files_only": True,
        "output_loading_info": True,
    }
    method = (files.config.get("quantization_config") or {}).get("quant_method")
    source: Path | None = checkpoint
    if method == "fp8":
        from transformers import FineGrainedFP8Config

        options["quantization_config"] = FineGrainedFP8Config(dequantize=True)
    elif method == "gptq":
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code, local_files_only=True)
        del config.quantization_config
        # Their float32 values, narrowed here to what the model is loaded in.
        weights = {name: weight.to(options["dtype"]) for name, weight in published_state_dict(files)}
        options |= {"config": config, "state_dict": weights}
        source = None
    elif method is not None:
        raise CheckpointError(
            f"{checkpoint / 'config.json'}: quant_method {method!r} cannot be read without its kernels: name the "
            "original weights under reference.model"
        )
    model, loaded = _class_of(files, trust_remote_code).from_pretrained(source, **options)
    _refuse_gaps(checkpoint, loaded)
    return model.to(options["dtype"]).eval()


def merge_adapter(model: Any, adapter: Path) -> Any:
    """The model with a LoRA's change added to its weights, in the model's own dtype.

    Raises:
        CheckpointError: the adapter cannot be read, or is another model's.
    """
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, adapter, is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{adapter}: cannot be loaded as a LoRA of this model: {error}") from error
    return adapted.merge_and_unload().eval()


def _class_of(files: Checkpoint, trust_remote_code: bool) -> Any:
    """The class config.json names, which may be more than a causal language model; else what transformers chooses."""
    import transformers

    name = next(iter(files.config.get("architectures") or []), "")
    found = None if trust_remote_code else getattr(transformers, name, None)
    return found or transformers.AutoModelForCausalLM


def _refuse_gaps(checkpoint: Path, loaded: dict[str, Any]) -> None:
    for problem, what in (
        ("missing_keys", "has no weights for"),
        ("mismatched_keys", "has weights of another shape for"),
        ("unexpected_keys", "has weights its model does not use:"),
    ):
        if names := sorted(str(name) for name in loaded.get(problem, ())):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{checkpoint}: {what} {names[0]}{more}: config.json and the weights are not of the same model"
            )
