"""Published reports: what others printed about a model, shown beside what a run measures and never judged by.

A file, `baselines/<Model>/published.json`, is a transcript: a bound stays a bound, what is not printed is absent.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from npu_conformance.errors import ConfigError

Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(_Part):
    """Where a report was published."""

    title: str
    author: str | None = None
    publisher: str | None = None
    url: str | None = None
    date: str | None = None
    note: str | None = None


class Quantity(_Part):
    """A printed number."""

    value: Number | tuple[Number, Number]
    """A pair is a printed range, from and to."""
    relation: Literal["=", "~", "<", "<=", ">", ">="] = "="
    """`~`: printed as approximate; the others but `=`: printed as a bound."""
    unit: str | None = None
    """`rate`: 0 to 1, printed as a percentage; null for a bare number."""
    n: int | None = None
    """Number of cases it rests on, where that is printed."""
    criterion: str | None = None
    """What the report says it should be, as printed."""
    note: str | None = None


class PublishedPrompt(_Part):
    """A prompt with what is printed of its result; escaped line breaks are resolved."""

    text: str
    expected: str | None = None
    candidate_first: str | None = None
    """The candidate's first token, as printed."""
    reference_first: str | None = None
    cosine: Number | None = None
    relative_l2: Number | None = None
    """0 to 1."""
    answers: tuple[str, ...] = ()
    """The candidate's answers, one a run where several are printed."""
    reference_answer: str | None = None
    candidate_label: str | None = None
    reference_label: str | None = None
    matches: str | None = None
    """Tokens equal, as printed, such as `48/48`."""
    tokens: int | None = None
    seconds: Number | None = None
    reference_seconds: Number | None = None
    note: str | None = None


class Layer(_Part):
    """The norm of a layer's hidden state."""

    layer: int
    norm: Number
    note: str | None = None


class Claim(_Part):
    """A statement that a run cannot hold a figure against."""

    text: str
    """In English."""
    printed: str
    """As printed."""


class Published(_Part):
    """A published report about a model."""

    source: Source
    hardware: dict[str, str] = {}
    """As printed, as are `versions` and `settings`."""
    versions: dict[str, str] = {}
    settings: dict[str, str] = {}
    """How the model is built, was run and compared."""
    figures: dict[str, Quantity] = {}
    """By our figure's name where it is the same thing, else by a name that says what was printed."""
    timings: dict[str, Quantity] = {}
    weights: dict[str, Quantity] = {}
    """What is said of the checkpoint: shapes, sizes, statistics, losses of its conversion."""
    config: dict[str, Number] = {}
    """What the publisher's config.json said of the same items, where the report holds the two together."""
    layers: tuple[Layer, ...] = ()
    prompts: tuple[PublishedPrompt, ...] = ()
    examples: tuple[str, ...] = ()
    """Prompts printed without a result, in instructions."""
    claims: tuple[Claim, ...] = ()


def load_published(folder: Path, model: str) -> Published | None:
    """The published report about a model; None where there is none.

    Args:
        folder: the folder of baselines.
        model: the name of the model's config.

    Raises:
        ConfigError: the file is not JSON or does not fit; one line naming file and keys.
    """
    path = folder / model / "published.json"
    if not path.is_file():
        return None
    try:
        return Published.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = "; ".join(
            ".".join(str(part) for part in detail["loc"]) + ": " + detail["msg"] if detail["loc"] else detail["msg"]
            for detail in error.errors()
        )
        raise ConfigError(f"{path}: {problems}: correct the file") from error
