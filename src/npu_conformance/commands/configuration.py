"""The page of all keys of a model config and of a prompt set, from their schemas."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from npu_conformance.config.prompts import PromptSet
from npu_conformance.config.schema import config_schema

Schema = Mapping[str, Any]
_ENTRIES = {
    "PromptUse": "Entry of prompts",
    "Variant": "Entry of variants",
    "Limit": "Entry of limits",
    "PromptEntry": "Prompt of a set",
}
_INTRODUCTION = """# Configuration

All keys of a model config and of a prompt set. Written by `npu-conformance dev schema` from the classes that read the
files; not to be edited. An editor that knows JSON Schema completes and checks the same keys by
`model_configs/schema.json`. [Add a model](add-a-model.md) goes through a config; [variants.md](variants.md) and
[checks.md](checks.md) have the names of variants and figures.

A key that is not below is an error, and so is one written twice. `npu-conformance check` reads every config.
"""
# More values than a table's cell can show.
_MANY = 8


def configuration_page() -> str:
    """Markdown: a table of each section's keys, with what they take and their default."""
    config, prompts = config_schema(), PromptSet.model_json_schema()
    entries = config["$defs"] | prompts["$defs"]
    tables = [("Model config", config), *((_title(name), entries[name]) for name in config["$defs"])]
    tables += [("Prompt set", prompts), *((_title(name), entries[name]) for name in prompts["$defs"])]
    return "\n".join([_INTRODUCTION, *(line for title, schema in tables for line in _table(title, schema))])


def _title(name: str) -> str:
    """Of a class's table: most are a section of their name."""
    return _ENTRIES.get(name, f"Section {name.lower()}")


def _table(title: str, schema: Schema) -> Iterator[str]:
    yield f"## {title}\n"
    if description := schema.get("description"):
        yield f"{_in_line(description)}\n"
    yield "| key | value | default | what it is |"
    yield "| --- | --- | --- | --- |"
    required = schema.get("required", ())
    for key, own in schema["properties"].items():
        default = "required" if key in required else _default(own)
        yield f"| `{key}` | {_values(own)} | {default} | {_cell(own.get('description', ''))} |"
    yield ""


def _default(schema: Schema) -> str:
    value = schema.get("default")
    if value is None or (isinstance(value, dict | list) and (not value or "$ref" in json.dumps(schema))):
        return "-"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _values(schema: Schema) -> str:
    if "anyOf" in schema:
        return ", or ".join(_values(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "$ref" in schema:
        title = _title(schema["$ref"].rpartition("/")[2])
        return f"[{title[0].lower()}{title[1:]}](#{title.lower().replace(' ', '-')})"
    if "enum" in schema:
        shown = schema["enum"] if len(schema["enum"]) <= _MANY else []
        return ", ".join(f"`{one}`" for one in shown) or "one of many names"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list: {_values(schema.get('items', {}))}"
    if kind == "object":
        return "mapping"
    return f"{kind}{_range(schema)}"


def _range(schema: Schema) -> str:
    low = f"> {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else ""
    low = f"≥ {schema['minimum']}" if "minimum" in schema else low
    high = f"≤ {schema['maximum']}" if "maximum" in schema else ""
    bounds = ", ".join(one for one in (low, high) if one)
    return f" {bounds}" if bounds else ""


def _cell(text: str) -> str:
    return _in_line(text).replace("|", "\\|")


def _in_line(text: str) -> str:
    return " ".join(text.split())
