"""The JSON Schema of a model config."""

from typing import Any

from npu_conformance.config.limits import FIGURES
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE


def config_schema() -> dict[str, Any]:
    """JSON Schema of a model config, for editors."""
    schema = ModelConfig.model_json_schema()
    uses = schema["properties"]["prompts"]["items"]
    schema["properties"]["prompts"]["items"] = {"anyOf": [{"type": "string"}, uses]}
    names = next(kind for kind in schema["properties"]["variants"]["items"]["anyOf"] if kind.get("type") == "string")
    names["enum"] = list(CATALOGUE)
    schema["properties"]["limits"]["propertyNames"] = {"enum": list(FIGURES)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "npu-conformance model config",
    } | {key: value for key, value in schema.items() if key != "title"}
