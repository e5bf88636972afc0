"""What files keep of a run position by position: the reference's likeliest words, and what others gave them."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from npu_conformance.baselines.packed import Packed, Part
from npu_conformance.measure.topk import TopK
from npu_conformance.traces.topk_rows import Ids, Values


class StoredRun(Part):
    """A run over the kept words, as differences from the reference, which are small and need few digits."""

    errors: Packed
    """Log-probability minus the reference's [positions, words]."""
    tail: Packed
    """Log-probability of all other words together minus the reference's [positions]."""
    choices: Packed
    """Greedy token minus the reference's [positions]: 0 where they agree."""

    @classmethod
    def of(cls, run: TopK, reference: TopK) -> "StoredRun":
        """Pack a run."""
        return cls(
            errors=Packed.of(run.log_probs - reference.log_probs, "float16"),
            tail=Packed.of(_log(run.tail) - _log(reference.tail), "float16"),
            choices=Packed.of(run.choices - reference.choices, "int32"),
        )

    def topk(self, reference: TopK) -> TopK:
        """The run as it was, up to the rounding of its differences."""
        return TopK(
            reference.log_probs + self.errors.array().astype(np.float64),
            np.exp(_log(reference.tail) + self.tail.array().astype(np.float64)),
            reference.choices + self.choices.array().astype(np.int64),
        )


def _log(tail: Values) -> Values:
    """Of a probability that may be too small for a float32, in which the reference's is kept."""
    return np.asarray(np.log(np.maximum(tail, np.finfo(np.float32).tiny)))


class StoredReference(Part):
    """The reference at every judged position."""

    words: Packed
    """Its likeliest words, likeliest first [positions, words]; the first is its choice."""
    log_probs: Packed
    """Of these words [positions, words], natural."""
    tail: Packed
    """Probability of all other words [positions]."""
    size: Packed
    """Root mean square of its logits [positions]."""
    texts: tuple[str, ...]
    """The text of its own choices, a prompt each."""


class StoredPrompt(Part):
    """A prompt and base's answer to it."""

    id: str
    prompt_ids: Packed
    token_ids: Packed
    """Judged ones: up to and including the first that ends an answer."""
    text: str


class OfPositions:
    """What is read alike in each such file."""

    # Told to the type checker only: else they would come first among the fields of a file.
    if TYPE_CHECKING:
        prompts: tuple[StoredPrompt, ...]
        reference: StoredReference
        run: StoredRun

    @property
    def bounds(self) -> tuple[int, ...]:
        """Prompt i has the positions bounds[i] to bounds[i + 1]."""
        return (0, *np.cumsum([prompt.token_ids.shape[0] for prompt in self.prompts]).tolist())

    @cached_property
    def words(self) -> Ids:
        """The reference's likeliest words [positions, words]."""
        return self.reference.words.array().astype(np.int32)

    @cached_property
    def exact(self) -> TopK:
        """The reference's distributions."""
        stored = self.reference
        return TopK(
            stored.log_probs.array().astype(np.float64),
            stored.tail.array().astype(np.float64),
            self.words[:, 0].astype(np.int64),
        )

    @cached_property
    def sizes(self) -> Values:
        """Root mean square of the reference's logits [positions]."""
        return self.reference.size.array().astype(np.float64)

    @cached_property
    def candidate_run(self) -> TopK:
        """The candidate's distributions."""
        return self.run.topk(self.exact)
