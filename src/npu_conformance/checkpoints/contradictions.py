"""Keys of config.json that contradict each other or the weights, so that libraries take what they happen to read."""

from collections.abc import Iterator
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.config_class import config_class
from npu_conformance.checkpoints.config_values import spelled
from npu_conformance.checkpoints.shapes import SIZES
from npu_conformance.checkpoints.stack import find_stack

_TIE = "tie_word_embeddings"


def contradictions(checkpoint: Checkpoint) -> list[Finding]:
    """An error where what is loaded is another model or none, a note where both libraries take the same."""
    config, text = checkpoint.config, checkpoint.text_config
    errors = (*_tied(checkpoint), *_parts(config), *_windows(text), *_refused(config, text))
    return [
        *(Finding("error", "config.json", told) for told in errors),
        *(Finding("warning", "config.json", told) for told in _scaled_twice(text)),
        *(Finding("note", "config.json", told) for told in (*_dtypes(config), *_bases(text))),
    ]


def _tied(checkpoint: Checkpoint) -> Iterator[str]:
    """A model without a head of its own, of which config.json does not say that the embedding is its head.

    transformers takes what the whole model's config says, vLLM what the language model's does.
    """
    if find_stack(checkpoint) is None or any("lm_head" in name for name in checkpoint.tensors):
        return
    config, text = checkpoint.config, checkpoint.text_config
    parts = {"": config} if text is config else {" at its top level": config, " in its text_config": text}
    said = {part[_TIE]: where for where, part in parts.items() if isinstance(part.get(_TIE), bool)}
    if len(said) > 1:
        yield (
            f"{_TIE} is true{said[True]} and false{said[False]}, and there is no lm_head: releases of transformers and "
            "vLLM take the one or the other, or make a head up; set both to true"
        )
        return
    for where, part in parts.items():
        if _TIE not in part and config_class(part).defaults.get(_TIE) is False and False not in said:
            yield (
                f"{_TIE} is missing{where}, there is no lm_head, and the class of model_type {part['model_type']} ties "
                "nothing by itself: what reads it there has no head; set it to true if the model has no head of its own"
            )


def _refused(config: dict[str, Any], text: dict[str, Any]) -> Iterator[str]:
    """Values that the class does not take; null for a size that the weights' shapes know is told of by shapes.py."""
    for part in (config,) if text is config else (config, text):
        known = config_class(part)
        for key, value in part.items():
            taken = known.refuses(key, value)
            if taken is not None and not (value is None and key in SIZES):
                told = f"{key} is {spelled(value)}, transformers 5 takes {taken}: write the published value"
                yield told + (f", or remove it ({spelled(known.defaults[key])} then)" if key in known.defaults else "")


def _parts(config: dict[str, Any]) -> Iterator[str]:
    if config.get("text_config") == {}:
        yield "text_config is empty, and transformers takes it for the model: remove the key, or take the published one"


def _windows(text: dict[str, Any]) -> Iterator[str]:
    kinds = text.get("layer_types")
    windowed = isinstance(kinds, list) and any(kind == "sliding_attention" for kind in kinds)
    if windowed and text.get("sliding_window", 0) is None:
        yield "layer_types has sliding_attention, and sliding_window is null: take both from the published config.json"


def _dtypes(config: dict[str, Any]) -> Iterator[str]:
    older, newer = config.get("torch_dtype"), config.get("dtype")
    if isinstance(older, str) and isinstance(newer, str) and older != newer:
        yield f"torch_dtype is {older} and dtype is {newer}: transformers 5 takes dtype, releases before 4.56 the other"


def _bases(text: dict[str, Any]) -> Iterator[str]:
    base, settings = text.get("rope_theta"), text.get("rope_parameters")
    inner = settings.get("rope_theta") if isinstance(settings, dict) else None
    if isinstance(base, int | float) and isinstance(inner, int | float) and base != inner:
        yield (
            f"rope_theta is {base:g} and rope_parameters.rope_theta is {inner:g}: transformers 5 takes the latter, "
            "transformers 4 and model classes that read rope_theta take the former"
        )


def _scaled_twice(text: dict[str, Any]) -> Iterator[str]:
    scaling, settings = text.get("rope_scaling"), text.get("rope_parameters")
    if not (isinstance(scaling, dict) and isinstance(settings, dict)):
        return
    kinds = [part.get("rope_type", part.get("type", "default")) for part in (scaling, settings)]
    if all(isinstance(kind, str) for kind in kinds) and kinds[0] != kinds[1]:
        yield (
            f"rope_scaling says {kinds[0]} and rope_parameters {kinds[1]}: transformers 5 applies rope_scaling, other "
            "releases and engines may not; remove the one that is not meant"
        )
