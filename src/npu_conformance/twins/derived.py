"""Twins derived from a model's own config.json: any model whose class transformers has, without its weights."""

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.headers import read_json, shown
from npu_conformance.checkpoints.rope_forms import older_form
from npu_conformance.errors import CheckpointError, ConfigError
from npu_conformance.twins.recipes import LINEAR, PLAIN_SETS, Adapted, Derived, Format, Training
from npu_conformance.twins.shrink import EXPERTS, shrunk

CONFIG, ADAPTER = "config.json", "adapter_config.json"
FILES = (CONFIG, ADAPTER)
"""Of a model, that a twin can be derived from."""
_TRAINING = Training(steps=400, batch_tokens=512, learning_rate=1.5e-3, seed=11)
_OF_ADAPTER = Training(steps=200, batch_tokens=768, learning_rate=1e-2, seed=12)
_KNOWN = "condense"
"""The set that a derived adapter learns."""
# A vocabulary is often larger than its tokenizer, in such steps.
_STEP = 64
# More weights than this are not small: a size has a name that `shrink` does not know.
_MOST = 100_000_000
# Weights of routers, as transformers names them, and how much larger than others they start.
_ROUTERS, _SURE = (".gate.weight", ".router.weight"), 4
# Ranks of a LoRA go to 512; its alpha is a few times that.
_HIGHEST = 4096


def derived_recipe(path: Path) -> Derived | Adapted:
    """The recipe of a model's twin.

    Args:
        path: of the model's config.json or, of its LoRA, of adapter_config.json beside that.

    Raises:
        ConfigError: it cannot be read, or no twin can be made of it; one line that says why.
    """
    try:
        content = read_json(path, "a derived twin is made from it")
        if path.name == ADAPTER:
            rank = _whole(content, "r", 8)
            return Adapted(
                twin_of=f"the LoRA of {path.parent.name}",
                base=str(path.with_name(CONFIG)),
                sets=(_KNOWN,),
                kept_sets=PLAIN_SETS,
                rank=rank,
                alpha=_whole(content, "lora_alpha", rank),
                training=_OF_ADAPTER,
                targets=_targets(content.get("target_modules")),
            )
        beside = path.with_name("tokenizer_config.json")
        tokens = read_json(beside, "its special tokens are known from it") if beside.is_file() else {}
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    if (why := why_none(content)) is not None:
        raise ConfigError(f"{path}: {why}")
    return Derived(
        twin_of=path.parent.name,
        architecture=content["model_type"],
        chat="chatml",
        sets=PLAIN_SETS,
        known_sets=(_KNOWN,),
        training=_TRAINING,
        config=json.dumps(content, sort_keys=True),
        special_tokens=_special_tokens(tokens),
        bos_token=_text(tokens.get("bos_token")) if tokens.get("add_bos_token") else None,
        format=stored_format(content),
    )


def _whole(content: Mapping[str, Any], key: str, default: int) -> int:
    """A count that a LoRA's file has; some write it as 16.0.

    Raises:
        ValueError: it is none, or larger than a twin could have.
    """
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in range(1, _HIGHEST + 1):
        raise ValueError(f"{key}: expected a whole number from 1 to {_HIGHEST}, found {reprlib.repr(value)}")
    return int(value)


def _targets(named: Any) -> tuple[str, ...]:
    """The layers that a LoRA's file lists, by their own names; those of most models where it has an expression."""
    names = named if isinstance(named, list) else []
    own = (one.rpartition(".")[2] for one in names if isinstance(one, str))
    return tuple(dict.fromkeys(one for one in own if one)) or LINEAR


def why_none(config: Mapping[str, Any]) -> str | None:
    """Why no twin can be derived from a config.json; None where one can, as far as is known without transformers."""
    if not isinstance(config.get("model_type"), str):
        return "has no model_type: no twin can be derived"
    if any(key in config for key in ("vision_config", "audio_config", "text_config")):
        return f"is of a model that reads more than text ({shown(config['model_type'])}): no twin can be derived"
    if "num_hidden_layers" not in config or "hidden_size" not in config:
        return "names no num_hidden_layers and hidden_size: no twin can be derived, for its sizes have other names"
    try:
        shrunk(config)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        told = f"{type(error).__name__}: {shown(str(error))}"
        return f"has a size that cannot be made small ({told}): no twin can be derived"
    return None


def why_no_class(kind: str) -> str | None:
    """Why the transformers here makes no network of a `model_type`; None where it does, or is not here."""
    try:
        import transformers
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    except ImportError:
        return None
    if kind in CONFIG_MAPPING_NAMES:
        return None
    return (
        f"is of the class {shown(kind)}, which transformers {transformers.__version__} has not: no twin can be derived"
    )


def stored_format(config: Mapping[str, Any]) -> Format | None:
    """The format that a twin's weights are stored in, as its model's are; None for plain ones.

    A mixture's are plain: how its experts are named in each format is the engine's own affair.
    """
    about = config.get("quantization_config")
    if not isinstance(about, Mapping) or any("expert" in key for key in config):
        return None
    method, bits = about.get("quant_method"), about.get("bits")
    if method == "fp8" and about.get("weight_block_size"):
        return "fp8"
    if method == "gptq" and bits == 8:
        return "gptq"
    if method == "awq":
        return "awq"
    return _of_compressed_tensors(about) if method == "compressed-tensors" else None


def _of_compressed_tensors(about: Mapping[str, Any]) -> Format | None:
    groups = about.get("config_groups")
    first: Mapping[str, Any] = next(iter(groups.values()), {}) if isinstance(groups, Mapping) else {}
    weights, inputs = first.get("weights") or {}, first.get("input_activations")
    form = weights.get("type"), weights.get("num_bits"), inputs is not None
    known: dict[tuple[Any, Any, bool], Format] = {
        ("int", 4, False): "w4a16",
        ("int", 8, True): "w8a8",
        ("float", 8, True): "fp8-dynamic",
    }
    return known.get(form)


def _special_tokens(tokens: Mapping[str, Any]) -> tuple[str, ...]:
    """By their ids, each once."""
    added = tokens.get("added_tokens_decoder")
    numbered = added if isinstance(added, Mapping) else {}
    named = [_text(numbered[key]) for key in sorted((key for key in numbered if key.isdecimal()), key=int)]
    named += [_text(tokens.get(key)) for key in ("bos_token", "eos_token", "pad_token")]
    return tuple(dict.fromkeys(one for one in named if one))


def _text(token: Any) -> str | None:
    """Of a token, which is a text or a mapping that has one."""
    content = token.get("content") if isinstance(token, Mapping) else token
    return content if isinstance(content, str) else None


def with_special_tokens(recipe: Derived, tokenizer: Any) -> Any:
    """A tokenizer with its model's special tokens at the end of the vocabulary, and before a text what it has there."""
    import tokenizers as hf

    tokenizer.add_tokens([hf.AddedToken(one, special=True, normalized=False) for one in recipe.special_tokens])
    if (first := recipe.bos_token) is not None:
        tokenizer.bos_token = first
        tokenizer.backend_tokenizer.post_processor = hf.processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, tokenizer.convert_tokens_to_ids(first))]
        )
    return tokenizer


def derived_network(recipe: Derived, tokenizer: Any) -> Any:
    """A float32 causal language model of transformers with fresh weights.

    Raises:
        ConfigError: this transformers has not its class, or it cannot be made small.
    """
    import torch
    import transformers

    small = shrunk(json.loads(recipe.config)) | {
        "vocab_size": -(-len(tokenizer) // _STEP) * _STEP,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if transformers.__version__.startswith("4."):
        small |= older_form(small) or {}
    try:
        config = transformers.AutoConfig.for_model(**small)
        with torch.device("meta"):  # its size is known before memory is taken
            weights = sum(one.numel() for one in transformers.AutoModelForCausalLM.from_config(config).parameters())
        if weights > _MOST:
            raise ConfigError(f"twin of {recipe.twin_of}: {weights:,} weights are left where its sizes were made small")
        network = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():  # some sizes are found to be wrong only where they meet
            network(input_ids=torch.zeros(1, 2, dtype=torch.long), use_cache=False)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"twin of {recipe.twin_of}: transformers {transformers.__version__} makes no small {recipe.architecture}: "
            f"{type(error).__name__}: {told}"
        ) from error
    _let_choose(network)
    return network.to(torch.float32).train()


def _let_choose(network: Any) -> None:
    """Start routers with few experts that count much, so that the last one chosen counts little.

    Rounding exchanges that one at some positions. It is one of three here and one of ten in many layers of a large
    model: with equal weights a single exchange would cost more than all limits allow.
    """
    import torch

    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith(_ROUTERS) and len(weight) == EXPERTS:
                weight.mul_(_SURE)
