"""What transformers' config class takes: for keys that config.json leaves out, and at all. Read from its source.

Importing the class would import torch, which takes seconds and belongs into worker processes.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a decimal such as 1.0",
    "str": "text",
    "list": "a list",
    "dict": "an object",
    "None": "null",
}
"""Types of fields that JSON has, in words."""


@dataclass(frozen=True)
class ConfigClass:
    """A config class of the transformers that is installed, as far as it has plain values."""

    defaults: dict[str, Any] = field(default_factory=dict)
    """Of keys that are left out."""
    types: dict[str, frozenset[str]] = field(default_factory=dict)
    """By key, the types that it takes, where it refuses all others, as transformers does since 5."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Keys by other names that they may have."""

    def refuses(self, key: str, value: Any) -> str | None:
        """What is taken, in words, where the class does not take a value of JSON; else None."""
        kind = "None" if value is None else type(value).__name__
        taken = self.types.get(key)
        return None if taken is None or kind in taken else " or ".join(_KINDS[one] for one in _KINDS if one in taken)


def config_class(config: dict[str, Any]) -> ConfigClass:
    """The class that `model_type` names; one without any keys where it is not known, or comes with the checkpoint.

    Args:
        config: config.json or a part of it. Keys that it has by another name are left out.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or "auto_map" in config:
        return ConfigClass()
    found = _of_type(model_type)
    renamed = {key for alias, key in found.aliases.items() if alias in config}
    return replace(found, defaults={key: value for key, value in found.defaults.items() if key not in renamed})


@lru_cache(maxsize=64)
def _of_type(model_type: str) -> ConfigClass:
    for path in _sources(model_type):
        nodes = ast.parse(path.read_text("utf-8")).body
        classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
        for name, node in classes.items():
            if ("model_type", model_type) in _class_values(node):
                return _inherited(classes, name)
    return ConfigClass()


def _sources(model_type: str) -> Iterator[Path]:
    """Files that have the class's name, most likely first."""
    spec = find_spec("transformers")
    if spec is None or spec.origin is None or not re.fullmatch(r"\w[\w.-]*", model_type):
        return
    models, said = Path(spec.origin).parent / "models", f'model_type = "{model_type}"'
    likely = models / model_type.removesuffix("_text")
    for path in (*likely.glob("configuration_*.py"), *models.glob("*/configuration_*.py")):
        if said in path.read_text("utf-8"):
            yield path


def _inherited(classes: dict[str, ast.ClassDef], name: str) -> ConfigClass:
    node, found = classes[name], ConfigClass()
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id != name:
            found = _inherited(classes, base.id)
    own = dict(_class_values(node)) | dict(_arguments(node))
    computed = set(_computed(node))
    return ConfigClass(
        {key: one for key, one in (found.defaults | own).items() if one is None or key not in computed},
        found.types | dict(_types(node)),
        found.aliases | own.get("attribute_map", {}),
    )


def _class_values(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Fields with their defaults, as classes of transformers 5 have them."""
    for one in node.body:
        if isinstance(one, ast.Assign | ast.AnnAssign) and one.value is not None:
            target = one.targets[0] if isinstance(one, ast.Assign) else one.target
            yield from _literal(ast.unparse(target), one.value)


def _types(node: ast.ClassDef) -> Iterator[tuple[str, frozenset[str]]]:
    """Of fields that are checked, and may be nothing but what JSON has."""
    if any("strict" in ast.unparse(one) for one in node.decorator_list):
        for one in node.body:
            if isinstance(one, ast.AnnAssign):
                names = {re.sub(r"^tuple$", "list", name) for name in _alternatives(one.annotation)}
                if names <= _KINDS.keys():
                    yield ast.unparse(one.target), frozenset(names)


def _alternatives(annotation: ast.expr) -> Iterator[str]:
    if isinstance(annotation, ast.BinOp):
        yield from (*_alternatives(annotation.left), *_alternatives(annotation.right))
    else:
        yield ast.unparse(annotation.value if isinstance(annotation, ast.Subscript) else annotation)


def _arguments(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Arguments with their defaults, as classes of transformers 4 have them."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            given = one.args.args[len(one.args.args) - len(one.args.defaults) :]
            for argument, value in zip(given, one.args.defaults, strict=True):
                yield from _literal(argument.arg, value)


def _literal(name: str, value: ast.expr) -> Iterator[tuple[str, Any]]:
    try:
        yield name, ast.literal_eval(value)
    except ValueError:
        return


def _computed(node: ast.ClassDef) -> Iterator[str]:
    """What its methods set to something else than what was given, but in place of null."""
    instead = {
        id(inner)
        for one in ast.walk(node)
        if isinstance(one, ast.If) and ast.unparse(one.test).endswith(" is None")
        for inner in one.body
    }
    for one in ast.walk(node):
        if isinstance(one, ast.Assign) and isinstance(target := one.targets[0], ast.Attribute):
            given = target.attr in re.findall(r"\w+", ast.unparse(one.value))
            if not given and id(one) not in instead:
                yield target.attr
