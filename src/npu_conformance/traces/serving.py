"""What a server was asked besides a trace's answers, and what it said: `serving.json` in the candidate's trace."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import write_text
from npu_conformance.traces.reading import read_saved

Route = Literal["completions", "chat"]
"""The two ways to ask for an answer: by a text or token ids, or by messages."""
_FILE = "serving.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Listed(_Part):
    """A model that the server lists."""

    id: str
    root: str | None = None
    """What it was loaded from."""
    parent: str | None = None
    """Of a LoRA the model it belongs to."""
    max_model_len: int | None = None


class Said(_Part):
    """One answer."""

    prompt: str
    """`set/id` of the prompt."""
    route: Route = "completions"
    model: str | None = None
    """As which the server says it answered."""
    text: str
    token_ids: tuple[int, ...] | None = None
    """None where it does not tell them."""
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    """The stop string or token that ended it."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    log_probs: int = 0
    """Positions of which it told log-probabilities."""
    wrong_log_probs: int = 0
    """Of these, where one is no number, or the token it chose is not among the likeliest."""


class Read(_Part):
    """What the server made of a prompt."""

    prompt: str
    route: Route
    expected: tuple[int, ...]
    """Ids by the checkpoint's own tokenizer and template, outside the server."""
    found: tuple[int, ...] | None
    """Ids that it read; None where it does not tell them."""
    count: int | None = None
    """How many it counts."""


class Streamed(_Part):
    """The same request whole and as a stream."""

    whole: Said
    parts: Said
    """The stream's parts put together."""
    ended: bool
    """Whether it said that it was at its end."""
    chunks: int


class Stopped(_Part):
    """A request with a stop string that its answer has."""

    stop: str
    whole: str
    """The answer's text without it."""
    said: Said


class Cut(_Part):
    """A request for fewer tokens than its answer has."""

    max_tokens: int
    whole: tuple[int, ...]
    """The answer's tokens without that."""
    said: Said


class Defaults(_Part):
    """What a request takes that names no sampling but the temperature."""

    declared: dict[str, Any]
    """What generation_config.json, or what the server's options put in its place, asks for."""
    said: tuple[Said, ...]
    """Answers to such requests."""


class First(_Part):
    """The likeliest tokens of an answer's first position under one of the server's names."""

    prompt: str
    name: str
    token: int
    log_probs: dict[int, float]
    """Natural; NaN-free."""


class Times(_Part):
    """Equal answers to equal requests among many at once."""

    said: Said
    times: int


class Refused(_Part):
    """A request that must be refused, and whether the server lived on."""

    what: str
    """What was wrong with it, in words."""
    status: int | None
    """None where the connection broke."""
    told: str
    """What it said, cut."""
    as_error: bool
    """Whether it was an error in the API's form: JSON with a message."""
    after: Said | None
    """The answer to a right request afterwards; None where there was none."""


class HungUp(_Part):
    """A client that went away in the middle of a stream."""

    running: int | None
    """Requests that the server still computed some seconds later; None where it does not tell."""
    after: Said | None
    """See `Refused`."""


class Served(_Part):
    """All of it."""

    format: Literal[1] = 1
    model: str
    """The base model's name at the server."""
    adapter: str | None = None
    """The LoRA's."""
    listed: tuple[Listed, ...]
    answers: tuple[Said, ...]
    """Those of the trace: each prompt's token ids alone, all sampling written out."""
    chat: tuple[Said, ...] = ()
    """The answers to some of the prompts as messages."""
    read: tuple[Read, ...] = ()
    defaults: Defaults
    streams: tuple[Streamed, ...] = ()
    stops: tuple[Stopped, ...] = ()
    cuts: tuple[Cut, ...] = ()
    without_adapter: tuple[Said, ...] = ()
    """Answers of the base model under its own name, where there is a LoRA."""
    firsts: tuple[First, ...] = ()
    clients: int
    crowd: tuple[Times, ...] = ()
    repeated: tuple[Times, ...] = ()
    """One request many times among them."""
    refused: tuple[Refused, ...] = ()
    hung_up: HungUp | None = None


_SERVED = TypeAdapter(Served)


def save_served(folder: Path, served: Served) -> None:
    """Write it into a trace folder that is being staged."""
    write_text(folder / _FILE, served.model_dump_json(indent=1) + "\n")


def load_served(folder: Path) -> Served:
    """What a trace folder has of it.

    Raises:
        TraceError: there is none, or it cannot be read.
    """
    return read_saved(folder / _FILE, _SERVED)


def by_prompt(served: Served) -> Mapping[str, Said]:
    """The trace's answers by prompt.

    Raises:
        TraceError: there are none.
    """
    if not served.answers:
        raise TraceError("the server's record has no answers; run the model again")
    return {one.prompt: one for one in served.answers}
