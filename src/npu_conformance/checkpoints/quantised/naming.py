"""Which modules a quantisation's options name: each format has its own way, and vLLM's is followed."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import TYPE_CHECKING

from npu_conformance.checkpoints.quantisation.schema import (
    AwqOptions,
    CompressedOptions,
    Fp8Options,
    ModeloptOptions,
    Options,
)
from npu_conformance.machine.patterns import compiled

if TYPE_CHECKING:
    import regex

Names = Callable[[str], bool]
"""Whether a module is named."""

_PATTERN = "re:"
_SECONDS = 0.1
"""Of one match, which takes microseconds."""


class UnreadablePatternError(Exception):
    """A regular expression that is none, or that finds no end."""


def named_by(options: Options) -> Names | None:
    """Whether the options leave a module as it is; None for a format that has no list, or an own way to go by it.

    Args:
        options: of a checkpoint.
    """
    entries = options.ignored
    if isinstance(options, Fp8Options):
        return partial(_exactly, frozenset(entries))
    if isinstance(options, AwqOptions) and entries:
        return lambda module: any(entry in module for entry in entries)
    if isinstance(options, ModeloptOptions):
        return lambda module: any(entry in module or fnmatchcase(module, entry) for entry in entries)
    if isinstance(options, CompressedOptions):
        return partial(matches, entries)
    return None


def _exactly(entries: frozenset[str], module: str) -> bool:
    """Of routed experts one name stands for all of a layer (vLLM's `is_layer_skipped`)."""
    before, experts, _ = module.partition(".experts.")
    layer = f"{before}.experts"
    return module in entries or (bool(experts) and any(layer in entry for entry in _of_experts(entries)))


@cache
def _of_experts(entries: frozenset[str]) -> tuple[str, ...]:
    return tuple(entry for entry in entries if "experts" in entry)


def matches(entries: tuple[str, ...], module: str) -> bool:
    """As compressed-tensors names modules: whole names, or regular expressions behind `re:`.

    Raises:
        UnreadablePatternError: an expression cannot be used.
    """
    return any(entry == module or (entry.startswith(_PATTERN) and _found(entry, module)) for entry in entries)


def _found(entry: str, module: str) -> bool:
    try:
        return _compiled(entry).match(module, timeout=_SECONDS) is not None
    except TimeoutError as error:
        raise UnreadablePatternError(f"{entry!r} finds no end in {_SECONDS} s") from error


@cache
def _compiled(entry: str) -> "regex.Pattern[str]":
    try:
        return compiled(entry.removeprefix(_PATTERN))
    except ValueError as error:
        raise UnreadablePatternError(f"{entry[:60]!r}: {error}") from error
