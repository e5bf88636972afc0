"""What the points of a probe are judged by: what an engine left, and what was measured of it from outside, as data."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from npu_conformance.config.variants import Sign

Table = tuple[tuple[float, ...], ...]
"""A row a request; they may differ in length."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")


class Sampled(_Part):
    """Requests that chose their tokens."""

    tokens: tuple[tuple[int, ...], ...]
    """By request: what was sampled."""
    best: tuple[tuple[int, ...], ...]
    """By request: the token with the largest logit in the captured row of each step; -1 in a row with a NaN."""


class Batched(Sampled):
    """The same requests, in one batch."""

    distances: Table
    """By request: relative L2 of its rows to those it had alone, up to the first step whose tokens before differ."""
    nearest: tuple[int, ...]
    """By request: the request whose first row alone its first row here is nearest to."""


class Forced(_Part):
    """A request that was made to take the tokens it would choose last."""

    asked: tuple[int, ...]
    taken: tuple[int, ...]
    finite: bool
    """Whether all recorded rows are: a masked row is not."""
    distance: float
    """Relative L2 of its first row to the one of the request that chose freely."""


class Prefilled(_Part):
    """Prompts with their answers in one prefill."""

    distances: Table | None
    """By request: relative L2 of the rows to those of decode; None where the hook saw nothing."""


class Hidden(_Part):
    """Hidden states at the last token of prompts."""

    layers: int
    """Of the model, by its config."""
    points: tuple[str, ...]
    """Where states were read; none where the hook saw nothing."""
    norms: Table
    """By prompt and point."""
    changes: Table
    """By prompt: relative L2 of the states at each point to those at the point before."""


class Mode(_Part):
    """What was asked of an engine, and what it ran with."""

    options: dict[str, Any]
    signs: tuple[Sign, ...]
    """Those that must be there (see `variants.Sign`)."""
    provenance: dict[str, Any]
    """`effective` and `observed`, as in a trace."""
    ranks: tuple[str | None, ...]
    """The graph mode by the config of each worker."""


class Ranks(_Part):
    """What tensor-parallel ranks were given."""

    expected: int
    rows: int
    """Of all requests."""
    there: dict[int, int]
    """By rank: rows it was given."""
    written: dict[int, int]
    """By rank: rows it wrote."""
    differing: dict[int, int]
    """By rank: rows that are not bitwise those of the rank that writes."""


class Adapted(_Part):
    """First tokens with a LoRA and without it, of an engine that has one."""

    layers: int
    """Modules that vLLM replaced to apply it."""
    effect: tuple[float, ...]
    """By prompt: relative L2 of the row with it to the one without."""
    bare: tuple[float, ...]
    """By prompt: relative L2 of the row without it to the one of an engine that has none."""


class Held(_Part):
    """Memory before, during and after an engine, in MiB."""

    what: str
    """What was measured, in words."""
    killed: bool
    before: dict[str, float]
    """By device; on a CPU one entry."""
    during: dict[str, float]
    after: dict[str, float]
    waited: float
    """Seconds until it was as free as it got."""
    lent: tuple[str, ...]
    """Ids of the devices that the engine was lent."""
    left: int
    """Its processes that outlived it."""


class Seen(_Part):
    """All that an engine left, a piece each; None for what it was not asked, or what failed."""

    platform: str = ""
    device: str = ""
    alone: Sampled | None = None
    batch: Batched | None = None
    forced: Forced | None = None
    prefill: Prefilled | None = None
    hidden: Hidden | None = None
    mode: Mode | None = None
    ranks: Ranks | None = None
    lora: Adapted | None = None
    held: Held | None = None
    errors: dict[str, str] = {}
    """By piece: why it failed."""
