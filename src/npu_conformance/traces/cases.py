"""Cases: what was found where the same tokens were forced again in another batch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Scenario = Literal["copies", "alone", "reordered", "joining", "among", "repeated"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")


class Flip(_Part):
    """A position whose largest logit is another token's than before."""

    step: int
    token: int
    """The token that was taken before."""
    choice: int
    """The one that would be taken now."""
    margin: float
    """By how much the first was ahead before, in logits."""
    lead: float
    """By how much the other is ahead now."""
    rms: float
    """Root mean square of the row's logits before; NaN where only its likeliest words are known."""


class Case(_Part):
    """One prompt in one scenario."""

    scenario: Scenario
    prompt: str
    """`set/id` of the prompt."""
    copy_number: int = 0
    """Which of several copies of the prompt in the batch."""
    batch_rows: tuple[int, ...]
    """The engine's batch row of each position."""
    positions: int
    different: int
    """Positions whose logits are not bitwise those of the first time."""
    first_different: int | None
    worst: int
    """Position with the largest relative L2 distance."""
    distance: float
    """That distance; NaN where a row is not finite. Where only likeliest words are known, the root mean square of how
    far their log-probabilities are apart."""
    few_words: bool = False
    """Whether only likeliest words are known."""
    flips: tuple[Flip, ...]

    def place(self, step: int) -> str:
        """A position for people."""
        copy = f" (copy {self.copy_number})" if self.copy_number else ""
        row = f", batch row {self.batch_rows[step]}" if step < len(self.batch_rows) else ""
        return f"{self.prompt}{copy}, position {step}{row}"
