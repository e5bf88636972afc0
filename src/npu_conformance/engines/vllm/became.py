"""What vLLM made of the engine arguments that it was given, read from its config."""

from typing import Any

# The sections that vLLM's engine arguments end in.
_SECTIONS = (
    "model_config",
    "cache_config",
    "parallel_config",
    "scheduler_config",
    "load_config",
    "lora_config",
    "compilation_config",
)
# Their names there, where they have another.
_RENAMED = {"kv_cache_dtype": "cache_dtype"}
_PLAIN = (bool, int, float, str)


def became(config: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Values that options have in the engine, by the names they were asked by; without those that it does not tell.

    Args:
        config: vLLM's `VllmConfig`.
        asked: engine arguments. Of a mapping the entries that were asked are told, if all of them are there.
    """
    compilation = asked.get("compilation_config")
    flat = {**asked, **(compilation if isinstance(compilation, dict) else {})}
    found: dict[str, Any] = {}
    for name, value in flat.items():
        for section in _SECTIONS:
            there = getattr(getattr(config, section, None), _RENAMED.get(name, name), None)
            if isinstance(value, dict):
                there = {key: getattr(there, key, None) for key in value}
            told = there.values() if isinstance(there, dict) else (there,)
            if told and all(isinstance(one, _PLAIN) for one in told):
                found[name] = there
    return found
