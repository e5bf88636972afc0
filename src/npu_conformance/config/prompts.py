"""Prompt sets: what is asked of a model, and what its answer must contain.

A set is a file of the folder `prompts` beside the model configs, or one that the suite brings along.
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.config.names import Name
from npu_conformance.config.patterns import Pattern
from npu_conformance.config.yamlfile import load_yaml
from npu_conformance.errors import ConfigError

SHIPPED = Path(__file__).with_name("prompt_sets")
"""The suite's own sets; a set of the same name beside the model configs comes before them."""
RESERVE = "reserve"
"""The set that more prompts are taken from than a model's own sets hold."""
MAX_TOKENS = 2**17
"""Of an answer, at most."""


class PromptEntry(BaseModel):
    """One prompt of a set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Name
    """Unique in its set; reports name the prompt `set/id`."""
    text: Annotated[str, Field(min_length=1)]
    """The prompt; the user's message where the set is rendered through a chat template."""
    expect: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Substrings that must all occur in the answer."""
    labels: dict[str, str] = {}
    """Expected values of the named groups of the model's `labels.pattern`."""


class PromptSet(BaseModel):
    """A file of `model_configs/prompts/`, or one of the suite's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    description: str
    """What the set is for."""
    chat: bool = False
    """True: rendered through the model's chat template, where it has one; false: sent as plain text."""
    system: Annotated[str, Field(min_length=1)] | None = None
    """System message before each of a chat set's prompts."""
    prompts: Annotated[tuple[PromptEntry, ...], Field(min_length=1)]
    """Asked one by one, and together where a check is about batches."""


class PromptUse(BaseModel):
    """How a model uses a prompt set; a bare name means the set as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    set: Name
    """File name without `.yaml`."""
    first: Annotated[int, Field(gt=0, strict=True)] | None = None
    """Take only so many of its prompts, from the set's start: of a large set, such as `reserve`."""
    chat: bool | None = None
    """Overrides the set's own `chat`."""
    expect: bool | tuple[Annotated[str, Field(min_length=1)], ...] = True
    """False: the set's expected substrings are not asked of this model. A list: these are asked of every answer,
    besides the set's own."""
    max_tokens: Annotated[int, Field(gt=0, le=MAX_TOKENS, strict=True)] | None = None
    """Longest answer in tokens; default: the model's."""
    format: Pattern | None = None
    """Regular expression that every answer of the set must match from its start, such as an output format's headings;
    `.` matches line breaks too."""


class Prompt(BaseModel):
    """A prompt as one model gets it."""

    model_config = ConfigDict(frozen=True)

    id: str
    """`set/id`."""
    text: str
    chat: bool
    system: str | None = None
    expect: tuple[str, ...] = ()
    format: str | None = None
    max_tokens: int | None = None
    labels: dict[str, str] = {}


def load_prompts(uses: Sequence[PromptUse], folder: Path, count: int | None = None) -> list[Prompt]:
    """The prompts of the given sets, in order.

    Args:
        uses: the sets to read, each once.
        folder: of sets that the suite does not bring along, or that come before its own; it need not be there.
        count: take only this many, dealt from the sets in turn so that each stays represented; beyond what the sets
            hold, prompts of the set `reserve` follow, as plain text.

    Raises:
        ConfigError: a set is missing or malformed, an id occurs twice, or there are fewer than `count`.
    """
    by_set = [_read(use, folder) for use in uses]
    prompts = list(chain.from_iterable(by_set))
    if count is None:
        return prompts
    if count > len(prompts):
        return prompts + _more(uses, folder, count, len(prompts))
    dealt = [prompt for turn in zip_longest(*by_set) for prompt in turn if prompt is not None]
    chosen = {prompt.id for prompt in dealt[:count]}
    return [prompt for prompt in prompts if prompt.id in chosen]


def most_prompts(uses: Sequence[PromptUse], folder: Path) -> int | None:
    """How many prompts `load_prompts` can give, with the reserve's; None where a set cannot be read."""
    try:
        return len(load_prompts(uses, folder)) + len(_reserve(uses, folder))
    except ConfigError:
        return None


def _reserve(uses: Sequence[PromptUse], folder: Path) -> list[Prompt]:
    """The prompts beyond a model's own sets."""
    listed = {prompt.id for use in uses if use.set == RESERVE for prompt in _read(use, folder)}
    return [prompt for prompt in _read(PromptUse(set=RESERVE), folder) if prompt.id not in listed]


def _more(uses: Sequence[PromptUse], folder: Path, count: int, there: int) -> list[Prompt]:
    """Prompts of the reserve, so that there are `count`."""
    more = _reserve(uses, folder)
    if count > there + len(more):
        names = [use.set for use in uses] + ([RESERVE] if more else [])
        raise ConfigError(
            f"--prompts {count}: the sets {', '.join(names)} hold {there + len(more)} prompts; "
            f"add prompts to a set in {folder}, or ask for fewer"
        )
    return more[: count - there]


@cache
def _load_set(path: Path, _changed: int) -> PromptSet:
    """A set's file, read once as long as it stays as it is: every model and variant asks for it."""
    return load_yaml(path, PromptSet)


def _file(name: str, folder: Path) -> Path:
    for path in (folder / f"{name}.yaml", SHIPPED / f"{name}.yaml"):
        if path.is_file():
            return path
    own, shipped = (sorted(file.stem for file in place.glob("*.yaml")) for place in (folder, SHIPPED))
    raise ConfigError(
        f"prompts: no set named {name!r}: {folder / name}.yaml does not exist{did_you_mean(name, [*own, *shipped])} "
        f"(sets there: {', '.join(own) or 'none'}; sets of the suite: {', '.join(shipped)})"
    )


def _read(use: PromptUse, folder: Path) -> list[Prompt]:
    path = _file(use.set, folder)
    content = _load_set(path, path.stat().st_mtime_ns)
    ids = [entry.id for entry in content.prompts]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ConfigError(f"{path}: prompts: id {twice[0]!r} occurs twice; ids are unique in a set")
    chat = content.chat if use.chat is None else use.chat
    of_every_answer = () if isinstance(use.expect, bool) else use.expect
    return [
        Prompt(
            id=f"{use.set}/{entry.id}",
            text=entry.text,
            chat=chat,
            system=content.system if chat else None,
            format=use.format,
            max_tokens=use.max_tokens,
            expect=() if use.expect is False else (*entry.expect, *of_every_answer),
            labels=entry.labels,
        )
        for entry in content.prompts[: use.first]
    ]
