"""What judging produces: checks with a verdict, and the words for verdicts."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["pass", "fail", "inconclusive", "error", "skipped", "not_applicable"]
Path = Literal["decode", "prefill", "none"]

# From what concerns a reader most to least; a model's verdict is its worst.
_ORDER: tuple[Verdict, ...] = ("fail", "error", "inconclusive", "pass", "skipped", "not_applicable")


class Check(BaseModel):
    """One judged property of a model, as report.json has it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")

    check: str
    """The property, named as its file in tests/conformance."""
    variant: str
    """The variant of the engine it was judged in."""
    path: Path = "decode"
    """The engine's path that produced what is judged; `none` where no logits are involved."""
    metric: str
    """What was measured."""
    observed: float | None = None
    """The measured value; NaN is written as a string."""
    limit: float | None = None
    """The limit it was judged by; null for a figure that is only shown."""
    relation: Literal[">=", "<="] = ">="
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
