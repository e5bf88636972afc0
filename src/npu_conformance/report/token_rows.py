"""What candidate and reference prefer at each position of a variant, for whoever looks at one token."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from npu_conformance.checks.capabilities import whole_rows
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.comparison import Comparison
from npu_conformance.report.part import Part

SAME, TIED, OTHER = "=", "~", "x"
"""Marks of a position: the reference's token, one that is tied with it, another."""


class TokenRows(Part):
    """Both sides' likeliest tokens, by position, prompts one after another."""

    words: int
    """Tokens of a side and position: 5, or the whole of a smaller vocabulary."""
    tokens: list[int]
    """The candidate's token."""
    marks: str
    """One character a position: `=` the reference's token, `~` tied with it, `x` another."""
    kl: list[float]
    """KL divergence from the reference, in nats."""
    candidate_words: list[int]
    """The candidate's likeliest tokens, largest logit first [positions x words]."""
    candidate_logits: list[float]
    reference_words: list[int]
    reference_logits: list[float]
    pieces: dict[int, str] = Field({})
    """Text of these tokens, where the reference's tokenizer said it."""

    @model_validator(mode="after")
    def _one_a_position(self) -> "TokenRows":
        count = len(self.tokens)
        sides = self.candidate_words, self.candidate_logits, self.reference_words, self.reference_logits
        if {len(self.marks), len(self.kl)} != {count} or {len(side) for side in sides} != {count * self.words}:
            raise ValueError(f"{count} tokens, but not as many marks, KL divergences and likeliest tokens")
        return self


def token_rows(evidence: Evidence, comparison: Comparison) -> TokenRows | None:
    """Both sides' likeliest tokens; None where nobody looks, or they were not kept.

    They are base's, and those of a variant with a token that rounding does not explain, or with a position beyond the
    limit of the largest error.
    """
    if comparison.words is None or comparison.word_logits is None or not whole_rows(evidence):
        return None
    marks = _marks(evidence, comparison)
    if evidence.variant != "base" and OTHER not in marks and not _beyond(evidence, comparison):
        return None
    mine, theirs = comparison.words[:, 0], comparison.words[:, 1]
    logits = comparison.word_logits
    seen = {*comparison.tokens.tolist(), *mine.ravel().tolist(), *theirs.ravel().tolist()}
    pieces = evidence.reference.pieces
    return TokenRows(
        words=mine.shape[1],
        tokens=comparison.tokens.tolist(),
        marks=marks,
        kl=[float(f"{value:.3g}") for value in comparison.values["kl"]],
        candidate_words=mine.ravel().tolist(),
        candidate_logits=_rounded(logits[:, 0]),
        reference_words=theirs.ravel().tolist(),
        reference_logits=_rounded(logits[:, 1]),
        pieces={token: pieces[token] for token in sorted(seen) if token in pieces},
    )


def floor_errors(evidence: Evidence) -> list[float]:
    """The floor runs' relative L2 error at each judged position, geometric mean; none without a noise floor."""
    if evidence.no_floor is not None:
        return []
    errors = np.exp(np.mean([one.row for one in evidence.floor.values()], axis=0))
    return [float(f"{value:.4g}") for value in errors]


def _marks(evidence: Evidence, comparison: Comparison) -> str:
    tied = comparison.ties(evidence.tie_width(evidence.pair))
    return "".join(SAME if same else TIED if tie else OTHER for same, tie in zip(comparison.matches, tied, strict=True))


def _beyond(evidence: Evidence, comparison: Comparison) -> bool:
    limit = evidence.limit("relative_l2_max")
    return limit is not None and not bool((comparison.values["relative_l2"] <= limit).all())


def _rounded(logits: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 4) for value in logits.ravel()]
