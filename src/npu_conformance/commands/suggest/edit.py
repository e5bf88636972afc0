"""Limits written into the text of a model config, every other character left as it is."""

import difflib
import json
from collections.abc import Sequence

import yaml

from npu_conformance.commands.suggest.rules import Supported


def edited(text: str, suggestions: Sequence[Supported]) -> str:
    """The text with the suggested limits under `limits:`, in place of those that are there.

    Args:
        text: of a config that loads.
        suggestions: each with a limit.
    """
    limits = _entry(yaml.compose(text, Loader=yaml.SafeLoader), "limits")
    there = {} if limits is None else {key.value: value for key, value in limits[1].value}
    changes: list[tuple[int, int, str]] = []
    for one in suggestions:
        if one.figure.name not in there:
            continue
        for key, written in (("value", repr(one.limit)), ("reason", _quoted(one))):
            entry = _entry(there[one.figure.name], key)
            if entry is not None:
                start, end = entry[1].start_mark.index, entry[1].end_mark.index
                kept = text[start:end]
                changes.append((start, end, written + kept[len(kept.rstrip()) :]))
    if new := [one for one in suggestions if one.figure.name not in there]:
        changes.append(_insertion(text, limits, new))
    for start, end, written in sorted(changes, reverse=True):
        text = text[:start] + written + text[end:]
    return text


def diff(before: str, after: str, path: str) -> str:
    """A unified diff that `patch` applies; empty where nothing changed."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), path, path)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _quoted(one: Supported) -> str:
    return json.dumps(one.why, ensure_ascii=False)


def _entry(mapping: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(mapping, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in mapping.value if key.value == name), None)


def _insertion(text: str, limits: tuple[yaml.Node, yaml.Node] | None, new: Sequence[Supported]) -> tuple[int, int, str]:
    """Where new entries go, and how they are written there."""
    if limits is None:
        end = len(text.rstrip("\n"))
        return end, end, "\n\nlimits:" + _block(new, "  ")
    mapping = limits[1]
    if isinstance(mapping, yaml.MappingNode) and mapping.flow_style:
        at = mapping.end_mark.index - 1
        entries = [f"{one.figure.name}: {{value: {one.limit!r}, reason: {_quoted(one)}}}" for one in new]
        return at, at, ", ".join(["", *entries] if mapping.value else entries)
    # A block ends where the next token begins: what is blank or comment before that is not its own.
    lines = text[: mapping.end_mark.index].rstrip().split("\n")
    while not lines[-1].strip() or lines[-1].lstrip().startswith("#"):
        lines.pop()
    end = len("\n".join(lines))
    return end, end, _block(new, " " * mapping.start_mark.column)


def _block(new: Sequence[Supported], indent: str) -> str:
    entries = (f"{one.figure.name}:\n{indent}  value: {one.limit!r}\n{indent}  reason: {_quoted(one)}" for one in new)
    return "".join(f"\n{indent}{entry}" for entry in entries)
