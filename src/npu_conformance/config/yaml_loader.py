"""YAML as a config means it: text, numbers, true and false, null; lists and mappings of bounded size.

YAML 1.1, which PyYAML reads, and 1.2, which editors check by, read some plain words differently: `010` is 8 or 10,
`1:30` is 90 or text, `no` is false or text. Such words are refused, with what to write instead.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from npu_conformance.errors import ConfigError
from npu_conformance.machine.regular_files import open_regular

_TAG = "tag:yaml.org,2002:"
_BYTES = 2**20
"""Of a file; the largest prompt set shipped has 7 KiB."""
_DEPTH = 40
"""Lists and mappings inside one another."""
_NODES = 50_000
"""Values, those of an alias counted wherever it stands."""
_INTEGER = 2**63 - 1
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN = {
    "merge": re.compile(r"<<"),
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"-?(?:0|[1-9][0-9]*)"),
    "float": re.compile(r"-?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"),
}
"""What is no text, by its tag: what both versions of YAML read alike, and `1e-3`, which 1.1 takes for text."""


def read_yaml(path: Path) -> Any:
    """The content of a file.

    Raises:
        ConfigError: it cannot be read, is too large or not YAML, or has a word that can be read in two ways; the
            message is one line that names file and line.
    """
    try:
        with open_regular(path) as file:
            content = file.read(_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > _BYTES:
        raise ConfigError(f"{path}: is larger than {_BYTES >> 20} MiB; a config has some kilobytes: is it the file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start + 1} is not UTF-8 text: save the file as UTF-8") from error
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except _Refused as error:
        raise ConfigError(f"{path}: line {_line(error)}: {error.problem}") from error
    except yaml.MarkedYAMLError as error:
        told = " ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{path}: not valid YAML: line {_line(error)}: {told}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


class _Refused(yaml.MarkedYAMLError):
    """YAML, but not of a config."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def _line(error: yaml.MarkedYAMLError) -> int | str:
    mark = error.problem_mark or error.context_mark
    return "?" if mark is None else mark.line + 1


class _Loader(yaml.SafeLoader):
    """SafeLoader that counts while it composes, so that nothing large is ever built."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}
        """Values under an anchor's node, by its id."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._nodes
        self._depth += 1
        if self._depth > _DEPTH:
            raise _Refused(f"more than {_DEPTH} lists and mappings inside one another", event.start_mark)
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise _Refused(f"*{event.anchor} stands inside what it names", event.start_mark)
            self._nodes += self._sizes[id(node)]
        self._nodes += 1
        if self._nodes > _NODES:
            raise _Refused(f"more than {_NODES:,} values, those of an alias counted each time", event.start_mark)
        self._sizes[id(node)] = self._nodes - before
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        """A mapping whose keys are text, each given once; YAML would silently keep the last of two."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if key.tag != f"{_TAG}str":
                _refuse_two_ways(key)
                raise _Refused(f"{_told(key)}: expected a key that is text; write it in quotes", key.start_mark)
            if key.value in seen:
                raise _Refused(f"key {_told(key)} is given twice", key.start_mark)
            seen.add(key.value)
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag of a value without one."""
        read: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is not yaml.ScalarNode or not implicit[0]:
            return read
        plain = next((name for name, pattern in _PLAIN.items() if pattern.fullmatch(value)), None)
        if plain is None and read != f"{_TAG}str":
            return f"{_TAG}{_TWO_WAYS}"
        return _TAG + (plain or "str")


_TWO_WAYS = "read in two ways"


def _refuse_two_ways(node: yaml.Node) -> None:
    if node.tag == f"{_TAG}{_TWO_WAYS}":
        raise _Refused(
            f"{node.value[:40]}: readers of YAML take this for different things, such as text, a number, or true and "
            f'false; write "{node.value[:40]}" for text, else a decimal number, true or false',
            node.start_mark,
        )


def _two_ways(_loader: _Loader, node: yaml.Node) -> None:
    _refuse_two_ways(node)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    value: str = loader.construct_scalar(node)
    if found := _NO_TEXT.search(value):
        raise _Refused(f"{found[0]!a} in a text: control characters and halves of letters are refused", node.start_mark)
    return value


def _truth(loader: _Loader, node: yaml.ScalarNode) -> bool:
    if not _PLAIN["bool"].fullmatch(value := loader.construct_scalar(node)):
        raise _Refused(f"{_told(node)}: expected true or false", node.start_mark)
    return bool(value.lower() == "true")


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = loader.construct_scalar(node)
    if _PLAIN["int"].fullmatch(value):
        if len(value) <= len(str(_INTEGER)) + 1 and abs(int(value)) <= _INTEGER:
            return int(value)
    elif _PLAIN["float"].fullmatch(value) and math.isfinite(number := float(value)):
        return number
    raise _Refused(f"{_told(node)}: expected a finite number of at most 64 bits", node.start_mark)


def _unknown(_loader: _Loader, node: yaml.Node) -> None:
    tag = node.tag.replace(_TAG, "!!")[:40]
    raise _Refused(f"tag {tag!r}: a config has none; write the value plainly", node.start_mark)


def _told(node: yaml.Node) -> str:
    """A value as it was written, cut where it is long."""
    return repr(node.value[:40]) if isinstance(node, yaml.ScalarNode) else "a list or mapping"


_Loader.yaml_constructors = {
    f"{_TAG}{name}": yaml.SafeLoader.yaml_constructors[f"{_TAG}{name}"] for name in ("null", "seq", "map")
}
for _name, _construct in (
    ("str", _text),
    ("bool", _truth),
    ("int", _number),
    ("float", _number),
    (_TWO_WAYS, _two_ways),
):
    _Loader.add_constructor(f"{_TAG}{_name}", _construct)
_Loader.add_constructor(None, _unknown)
