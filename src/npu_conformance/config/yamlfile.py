"""YAML files into pydantic models, with errors a person can act on."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from npu_conformance.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_QUOTED = re.compile(r"'([^']*)'")
T = TypeVar("T", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path, model: type[T]) -> T:
    """Read and validate a file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, is not a mapping, or does not fit `model`; the
            message is one line naming file and key.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        what = "nothing" if content is None else f"a {type(content).__name__}"
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {what}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_describe(detail, model) for detail in error.errors())
        raise ConfigError(f"{path}: {problems}") from error


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?` when some known word is close, else nothing.

    Args:
        word: as it was written.
        known: words.
        cutoff: how near one must be, from 0 to 1 for the same.
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def _describe(detail: "ErrorDetails", model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key{_belongs(model, detail['loc'])}"
    if detail["type"] == "missing":
        return f"{where}: required key is missing"
    if detail["type"] == "value_error":
        return f"{where}: {detail['ctx']['error']}" if where else str(detail["ctx"]["error"])
    if detail["type"] == "literal_error":
        hint = did_you_mean(str(detail["input"]), _QUOTED.findall(detail["ctx"]["expected"]), cutoff=0.5)
        return f"{where}: expected {detail['ctx']['expected']}, found {detail['input']!r}{hint}"
    message = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{where}: expected {message}, found {detail['input']!r}"


def _belongs(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Where an unknown key belongs: in another section that has it, else under the name of one that is close."""
    key = str(location[-1])
    for name, field in model.model_fields.items():
        section = field.annotation
        is_section = isinstance(section, type) and issubclass(section, BaseModel)
        if is_section and name != location[0] and key in section.model_fields:  # type: ignore[union-attr]
            return f"; it belongs under {name}: write {name}: {{{key}: …}}"
    return did_you_mean(key, _keys_at(model, location[:-1]))


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys `model` allows at a place inside it, forcing nested models by field name."""
    current: Any = model
    for part in location:
        if isinstance(part, str) and part in getattr(current, "model_fields", {}):
            current = _nested_model(current.model_fields[part].annotation)
    return list(getattr(current, "model_fields", {}))


def _nested_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _nested_model(argument)) is not None:
            return found
    return None
