"""The rotary settings of config.json in the two forms that transformers knows: which does a version not read?

transformers 5 writes `rope_parameters`, and reads `rope_theta` and `rope_scaling` too. Before 5 only these are read:
what stands under `rope_parameters` alone is passed over in silence, and so is it by the vLLM of its time.
"""

from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding

_BESIDE = ("rope_theta", "partial_rotary_factor")
"""Keys that the older form has beside `rope_scaling`."""
_TYPE = ("rope_type", "type")


def older_form(text: dict[str, Any]) -> dict[str, Any] | None:
    """The keys of the older form that a config lacks, with their values.

    Args:
        text: the language model's part of config.json.

    Returns:
        Empty where nothing is lacking; None where the older form cannot say it, as of kinds of layers that rotate
        otherwise.
    """
    rope = text.get("rope_parameters")
    if not isinstance(rope, dict):
        return {}
    if any(isinstance(value, dict) for value in rope.values()):
        return None if text.get("rope_theta") is None else {}
    found = {key: rope[key] for key in _BESIDE if rope.get(key) is not None and text.get(key) is None}
    rest = {key: value for key, value in rope.items() if key not in _BESIDE}
    kind = rest.get("rope_type") or rest.get("type") or "default"
    if (kind != "default" or rest.keys() - set(_TYPE)) and not text.get("rope_scaling"):
        found["rope_scaling"] = rest
    original = rope.get("original_max_position_embeddings")
    if kind == "longrope" and original not in (None, text.get("max_position_embeddings")):
        # The older form has it beside; within `rope_scaling` it is not looked at.
        found |= {} if "original_max_position_embeddings" in text else {"original_max_position_embeddings": original}
    return found


def unread_rope(checkpoint: Checkpoint, transformers: str, whose: str) -> Finding | None:
    """An error where a version of transformers passes over the checkpoint's rotary settings, else None.

    Args:
        checkpoint: which.
        transformers: the version.
        whose: that uses it, for the message.
    """
    lacking = older_form(checkpoint.text_config)
    if int(transformers.split(".")[0]) >= 5 or lacking == {}:
        return None
    what = ", ".join(lacking) if lacking else "rope_theta and rope_scaling"
    remedy = (
        f"`npu-conformance doctor --fix-config {checkpoint.folder}` writes both forms"
        if lacking
        else "they differ by kind of layer, which only transformers 5 can read: use an engine with transformers 5"
    )
    return Finding(
        "error",
        "config.json",
        f"gives its rotary settings under rope_parameters alone, without {what}; transformers {transformers} ({whose}) "
        f"does not read them and would compute with its own defaults, as its vLLM does, both alike: {remedy}",
    )
