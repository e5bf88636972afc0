"""What is measured of some positions of one prompt, as arrays by name: the form that is joined, cut and kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.config.limits import FIGURES
from npu_conformance.measure import metrics
from npu_conformance.measure.deviations import DEVIATIONS, deviations_of
from npu_conformance.traces.rows import Rows, row_hashes

Columns = dict[str, NDArray[Any]]
"""One value, or one row of values, a position."""

METRICS = tuple(dict.fromkeys(figure.of for figure in FIGURES.values() if figure.of not in (None, "matches")))
"""The fields of `Measured` that figures are made of."""
_AS_FOUND = (*METRICS, "rms", "finite", "reference_finite")

COLUMNS = (
    *_AS_FOUND,
    *("tokens", "choices", "own_shortfall", "equal", "token_logits"),
    *DEVIATIONS,
)
"""What `columns_of` measures."""
HASHES = "hashes"
"""Beside these, of whole rows: see `row_hashes`. What was measured before it was kept has none."""
SHOWN = ("log_probs", "words", "word_logits")
"""Beside these too, for who looks at one token: natural log-probabilities of the candidate's token on both sides
[positions, 2], and of each side the likeliest words with their logits [positions, 2, 5]."""


def columns_of(mine: Rows, theirs: Rows, taken: Sequence[int] | None) -> Columns:
    """Measure rows against others; by the names of `Comparison` and `Deviations`.

    Args:
        mine: float32 [positions, vocabulary] of the candidate.
        theirs: of the reference, at the same positions.
        taken: the candidate's tokens there; None where it was made to take others, so that its own are those of its
            largest logits.
    """
    found = metrics.measured(mine, theirs)
    own, choices = found.choice, found.reference_choice
    tokens = np.maximum(own, 0) if taken is None else np.asarray(taken, dtype=np.int64)
    steps, words = np.arange(len(own)), (tokens, np.maximum(choices, 0))
    shortfall = np.zeros(len(own))
    if taken is not None:
        shortfall = mine.max(axis=1).astype(np.float64) - mine[steps, tokens]
    likeliest = np.stack([found.words, found.reference_words], axis=1)
    token_logits = np.stack([side[steps, one].astype(np.float64) for side in (mine, theirs) for one in words], axis=1)
    return {
        **{name: getattr(found, name) for name in _AS_FOUND},
        "tokens": tokens,
        "choices": choices,
        "own_shortfall": shortfall,
        "equal": (mine.view(np.uint32) == theirs.view(np.uint32)).all(axis=1),
        HASHES: row_hashes(mine),
        "token_logits": token_logits,
        "log_probs": token_logits[:, ::2] - found.log_sums,
        "words": likeliest.astype(np.int32),
        "word_logits": np.stack(
            [np.take_along_axis(side, likeliest[:, place], axis=1) for place, side in enumerate((mine, theirs))], axis=1
        ),
        **deviations_of(found),
    }


def joined(parts: Sequence[Columns]) -> Columns:
    """Positions one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
