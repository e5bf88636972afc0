"""Whether a twin can be derived from a config.json, asked before a config names one.

It is found here and not only where the twin is trained: a person then learns of it while the config is written.
"""

from collections.abc import Mapping
from typing import Any

from npu_conformance.checkpoints.headers import shown
from npu_conformance.checkpoints.rope_forms import older_form
from npu_conformance.twins.derived import why_no_class, why_none
from npu_conformance.twins.shrink import shrunk

# As transformers' configs name the kind of each layer.
_KINDS = ("layer_types", "layers_block_type")


def why_not(config: Mapping[str, Any]) -> str | None:
    """Why no twin can be derived; None where one can, as far as the transformers here knows.

    Args:
        config: content of config.json, with its `model_type`.
    """
    if (why := why_none(config) or why_no_class(config["model_type"])) is not None:
        return why
    try:
        import transformers
    except ImportError:
        return None
    small = shrunk(config)
    if transformers.__version__.startswith("4."):
        small |= older_form(small) or {}
    kinds = []
    for about, what in ((config, "be read"), (small, "be made small")):
        try:
            kinds.append(_kinds(transformers.AutoConfig.for_model(**about)))
        except Exception as error:  # a config's class checks its values as it likes
            told = f"transformers {transformers.__version__} ({_told(error)})"
            return f"cannot {what} by {told}: no twin can be derived"
    if lost := kinds[0] - kinds[1]:
        return f"has layers that a small model would lack ({', '.join(sorted(lost))}): no twin can be derived"
    return None


def _kinds(config: Any) -> set[str]:
    """Of a config's layers."""
    return {str(kind) for name in _KINDS for kind in getattr(config, name, None) or ()}


def _told(error: Exception) -> str:
    """The last cause that it names, in a line."""
    name, text = type(error).__name__, " ".join(str(error).split())
    for kind in ("ValueError", "TypeError"):
        if f"{kind}: " in text:
            name, text = kind, text.rpartition(f"{kind}: ")[2]
    return f"{name}: {shown(text)}"
