"""Loads a checkpoint into transformers, quantised ones as the plain weights they stand for."""

from pathlib import Path
from typing import Any

from npu_conformance.audit.published import published_state_dict, require_readable
from npu_conformance.checkpoints.inspect import Checkpoint, inspect
from npu_conformance.checkpoints.modelslim import is_modelslim
from npu_conformance.engines.quantised import quantise_inputs
from npu_conformance.errors import CheckpointError


def load_model(
    checkpoint: Path, dtype: str, attn_implementation: str, *, trust_remote_code: bool, quantised: bool = False
) -> Any:
    """A causal language model with plain weights in `dtype`, on the CPU, ready to run.

    A quantised checkpoint is read by `audit.published`, which shares nothing with our converters. transformers could
    read block FP8 itself, but not in all supported versions, and in some by way of the scales' own dtype.

    Args:
        checkpoint: the folder.
        dtype: by torch's name.
        attn_implementation: transformers' attention.
        trust_remote_code: whether code of the checkpoint's own may run.
        quantised: whether what enters its layers is quantised too, where the checkpoint wants that.

    Raises:
        CheckpointError: weights are missing, left over or of another shape than config.json says, or quantised in
            a way that cannot be read here.
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
        "ignore_mismatched_sizes": True,  # they are refused below, by name
    }
    require_readable(files)
    source: Path | None = checkpoint
    if files.announced is not None or is_modelslim(checkpoint):
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code, local_files_only=True)
        for part in (config, config.get_text_config()):
            if hasattr(part, "quantization_config"):
                del part.quantization_config
        options |= {"config": config, "state_dict": _plain_weights(files, options["dtype"])}
        source = None
    try:
        model, loaded = _class_of(files, trust_remote_code).from_pretrained(source, **options)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(
            f"{checkpoint}: transformers cannot make the model ({told}): compare config.json with the published one"
        ) from error
    _refuse_gaps(checkpoint, loaded)
    # What is loaded, and no buffer that the model computes: rotary frequencies of 8 bits turn late tokens by radians.
    stored = model.state_dict(keep_vars=True).values()
    for tensor in stored:
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(options["dtype"])
    if quantised:
        quantise_inputs(model, files)
    return model.eval()


def _plain_weights(files: Checkpoint, dtype: Any) -> dict[str, Any]:
    """The published weights in the dtype the model is loaded in."""
    packed = {name.removesuffix(".qweight") for name in files.tensors if name.endswith(".qweight")}
    return {
        name: weight.to(dtype)
        for name, weight in published_state_dict(files)
        # AutoGPTQ stores a bias for every module it packed, all zero where the model has none.
        if not (name.endswith(".bias") and name.removesuffix(".bias") in packed and not weight.any())
    }


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
