"""An untrained network of a twin's architecture class, and how a trained one is saved."""

import json
import math
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.rope_forms import older_form
from npu_conformance.errors import ConfigError
from npu_conformance.machine.storage import write_json
from npu_conformance.twins.derived import derived_network
from npu_conformance.twins.recipes import Derived, Taught, Trained
from npu_conformance.twins.tokenizer import VISION_TOKENS

# The factors LongRoPE has beside its short ones; a twin is served within its original length, as its model is.
_SHORT_FACTOR, _LONG_FACTOR = 1.02, 4.0


def new_network(recipe: Taught, tokenizer: Any) -> Any:
    """A float32 causal language model of transformers with fresh weights.

    Raises:
        ConfigError: this transformers is too old for it.
    """
    if isinstance(recipe, Trained):
        return _of_sizes(recipe, tokenizer)
    if isinstance(recipe, Derived):
        network = derived_network(recipe, tokenizer)
        _let_remember(network)
        return network
    raise TypeError(f"{recipe.twin_of}: no network is made from a {type(recipe).__name__}")


def _of_sizes(recipe: Trained, tokenizer: Any) -> Any:
    import torch
    import transformers

    if recipe.architecture == "qwen3_5" and not hasattr(transformers, "Qwen3_5ForConditionalGeneration"):
        raise ConfigError(
            f"the twin of {recipe.twin_of} needs transformers 5.2 or later, this is {transformers.__version__}: "
            "npu-conformance dev reference-python makes an interpreter that has it"
        )
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.hidden,
        "intermediate_size": recipe.intermediate,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.query_heads,
        "num_key_value_heads": recipe.kv_heads,
        "head_dim": recipe.head_dim,
        "max_position_embeddings": recipe.max_positions,
        # The models' 0.02 is right for their width; one this small it leaves idle for a third of the steps.
        "initializer_range": recipe.hidden**-0.5,
        "tie_word_embeddings": True,
        "use_cache": False,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if recipe.architecture == "qwen3_5":
        network = transformers.Qwen3_5ForConditionalGeneration(_qwen3_5(text, tokenizer))
        _let_remember(network)
    elif recipe.architecture == "llama":
        text |= _rotary(_long_rope(recipe))
        network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**text))
    elif recipe.architecture == "qwen2_moe":
        text |= _rotary({"rope_type": "default", "rope_theta": 1_000_000.0}) | _mixture(recipe)
        network = transformers.Qwen2MoeForCausalLM(transformers.Qwen2MoeConfig(**text))
    else:
        text |= _rotary({"rope_type": "default", "rope_theta": 1_000_000.0})
        network = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**text))
    return network.to(torch.float32).train()


def text_model(network: Any) -> Any:
    """The part of a network that turns token ids into hidden states."""
    return getattr(network.model, "language_model", network.model)


def _rotary(parameters: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a config for these rotary parameters, by the names this transformers reads when it is made.

    4.57 ignores `rope_parameters` and would take its default base in silence; 5 takes nothing else.
    """
    import transformers

    if transformers.__version__.startswith("4."):
        return older_form({"rope_parameters": parameters}) or {}
    return {"rope_parameters": parameters}


def _mixture(recipe: Trained) -> dict[str, Any]:
    """Arguments of a config for experts in every layer, whose weights are not normalised, as its model's."""
    experts = recipe.experts
    if experts is None:
        raise ValueError(f"{recipe.twin_of}: its recipe names no experts")
    return {
        "num_experts": experts.count,
        "num_experts_per_tok": experts.per_token,
        "moe_intermediate_size": experts.intermediate,
        "shared_expert_intermediate_size": experts.shared,
        "norm_topk_prob": False,
        "decoder_sparse_step": 1,
    }


def _qwen3_5(text: dict[str, Any], tokenizer: Any) -> Any:
    from transformers import Qwen3_5Config

    text |= {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 64,
        "linear_value_head_dim": 64,
        "linear_conv_kernel_dim": 4,
        # Of the state, for engines: vLLM's kernel for a CPU knows no other.
        "mamba_ssm_dtype": "float32",
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000_000.0,
            "partial_rotary_factor": 0.25,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
    }
    # The eyes stay untrained: the suite asks in words only.
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": text["hidden_size"],
        "num_position_embeddings": 16,
    }
    image, video, start, end = (tokenizer.convert_tokens_to_ids(token) for token in VISION_TOKENS)
    return Qwen3_5Config(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )


def _let_remember(network: Any) -> None:
    """Start the gated delta nets with heads that keep their state for one to a thousand tokens.

    transformers starts `dt_bias` at 1, with which a head has forgotten all after a token or two, and training as
    short as a twin's does not change that: nothing a twin says would depend on the state that engines carry, and a
    head's output, the current token alone, is at some positions so near to nothing that its norm blows rounding up.
    The step sizes are those of Mamba-2 (Dao and Gu, 2024, arXiv:2405.21060), log-uniform in [0.001, 0.1].
    """
    import torch

    with torch.no_grad():
        for module in network.modules():
            if hasattr(module, "dt_bias"):
                steps = torch.empty_like(module.dt_bias).uniform_(math.log(1e-3), math.log(1e-1)).exp_()
                # What softplus turns into that step.
                module.dt_bias.copy_(steps.expm1().log())


def _long_rope(recipe: Trained) -> dict[str, Any]:
    pairs = recipe.head_dim // 2
    return {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [round(1 + (_SHORT_FACTOR - 1) * pair / pairs, 4) for pair in range(pairs)],
        "long_factor": [round(1 + (_LONG_FACTOR - 1) * pair / pairs, 4) for pair in range(pairs)],
        "original_max_position_embeddings": recipe.max_positions,
        "factor": 1.0,
    }


def save_network(network: Any, tokenizer: Any, folder: Path, *, pickled: bool) -> None:
    """Write configs and bfloat16 weights: safetensors, or `pytorch_model.bin` as older checkpoints have."""
    import torch
    from transformers import GenerationConfig

    network.config.get_text_config().use_cache = True
    network.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    network.eval().to(torch.bfloat16).save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # transformers 4 would pass over what 5 writes, and so would an engine beside it.
    write_json(path, config | (older_form(config) or {}))
    weights = folder / "model.safetensors"
    if hasattr(network.config, "vision_config"):
        _save_processors(folder)
        _move_eyes(weights)
    if pickled:
        from safetensors.torch import load_file

        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()


def _move_eyes(weights: Path) -> None:
    """Transformers 5.5.4 writes them as a part of the language model, where no engine looks for them."""
    from safetensors.torch import load_file, save_file

    tensors = {name.replace("language_model.visual.", "visual."): one for name, one in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})


def _save_processors(folder: Path) -> None:
    """The files without which no engine starts a model that could see."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLVideoProcessor

    for processor in (Qwen2VLImageProcessor, Qwen3VLVideoProcessor):
        processor(patch_size=16, merge_size=2, temporal_patch_size=2).save_pretrained(folder)
