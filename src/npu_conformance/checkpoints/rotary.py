"""Rotary parameters in the two spellings of config.json: transformers 5 reads and writes one, 4 the other.

Each drops what only the other knows and says nothing, so a file that holds one of them is another model to half of
those who read it.
"""

from typing import Any


def older_rotary(parameters: dict[str, Any]) -> dict[str, Any]:
    """What transformers 4 reads, `rope_theta` and where they are scaled `rope_scaling`, for `rope_parameters`."""
    scaling = {name: value for name, value in parameters.items() if name != "rope_theta"}
    theta = {"rope_theta": parameters["rope_theta"]} if "rope_theta" in parameters else {}
    return theta if scaling.get("rope_type", "default") == "default" else theta | {"rope_scaling": scaling}


def newer_rotary(config: dict[str, Any]) -> dict[str, Any]:
    """What transformers 5 writes, `rope_parameters`, for a config with `rope_theta` and perhaps `rope_scaling`."""
    scaling = dict(config.get("rope_scaling") or {})
    kind = scaling.pop("type", None)
    theta = {"rope_theta": config["rope_theta"]} if "rope_theta" in config else {}
    return {"rope_parameters": {"rope_type": kind or "default"} | scaling | theta}


def in_both_spellings(config: dict[str, Any]) -> dict[str, Any]:
    """A config.json, or its text part, with its rotary parameters by the names of both; nothing it says is changed."""
    if config.get("rope_parameters"):
        return older_rotary(config["rope_parameters"]) | config
    return newer_rotary(config) | config if "rope_theta" in config or config.get("rope_scaling") else config
