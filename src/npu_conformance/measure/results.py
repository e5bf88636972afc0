"""What a check found: results with a verdict."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from npu_conformance.config.limits import Relation

Verdict = Literal["pass", "fail", "inconclusive", "shown", "error", "skipped", "not_applicable"]
"""`shown`: a number without a limit, which nobody judged."""
Path = Literal["decode", "prefill", "none"]

# From what concerns a reader most to least; a model's verdict is its worst.
_ORDER: tuple[Verdict, ...] = (
    "fail",
    "error",
    "inconclusive",
    "pass",
    "shown",
    "skipped",
    "not_applicable",
)


class Result(BaseModel):
    """A number or a count of a model that a check found, and its verdict; `checks[]` in report.json."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")

    check: str
    """The check's id; its test is `test_<check>`."""
    variant: str
    """The variant of the engine it was judged in."""
    path: Path = "decode"
    """The engine's path that produced what is judged; `none` where no logits are involved."""
    metric: str
    """Id of what was measured; the check's own where nothing was."""
    at: str = "answers"
    """Where: `answers`; `boundary`, prompts cut at the edges of blocks; `cold`, before the prefix cache was warm;
    `batch:` with how the batch differed; `candidate` or `reference`, whose values they are."""
    observed: float | None = None
    """The measured value; NaN is written as a string."""
    limit: float | None = None
    """The limit it was judged by; null for a figure that is only shown."""
    floor: float | None = None
    """What the floor run that is worst has of it; null where that was not measured."""
    relation: Relation = ">="
    """How observed must stand to limit."""
    n: int | None = None
    """Number of positions, prompts or rows the value rests on."""
    interval: tuple[float, float] | None = None
    """95 % interval of what was observed; null where none is computed."""
    p_value: float | None = None
    """Of a calibrated gate: the chance of this or worse in a candidate that is just within the limit."""
    p_adjusted: float | None = None
    """The same, with regard to the variant's other gates (Holm)."""
    verdict: Verdict
    where: str | None = None
    """The worst place: prompt, position, both tokens with their logits."""
    message: str | None = None
    """What a reader must know besides: why it is inconclusive, not applicable or in error."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole: its worst part's; `skipped` when there is no part."""
    found = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in found), "skipped")
