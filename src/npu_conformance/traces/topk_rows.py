"""Rows of the likeliest words: all that some engines give of a position's logits, and all that a baseline keeps.

A prompt's are one `.npz` with the fields of `TopKRows`, exact as they were given.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.traces.reading import read_arrays, unreadable
from npu_conformance.traces.rows import row_digest

Ids = NDArray[np.int32]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class TopKRows:
    """The likeliest words of a prompt's positions."""

    words: Ids
    """Their ids, likeliest first, none twice [positions, k]."""
    log_probs: Values
    """Natural logarithms of their probabilities [positions, k]; NaN where the engine gave no number."""
    tail: Values
    """Probability of all other words together [positions], 0 to 1 where these are finite."""
    rms: Values
    """Root mean square of the whole row of logits [positions]; NaN where nobody saw that."""

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: slice) -> "TopKRows":
        return TopKRows(self.words[rows], self.log_probs[rows], self.tail[rows], self.rms[rows])

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Whether all log-probabilities of a position are finite [positions]."""
        return np.asarray(np.isfinite(self.log_probs).all(axis=1))

    @property
    def choices(self) -> NDArray[np.int64]:
        """The greedy token, -1 where a NaN leaves none [positions]."""
        lost = np.isnan(self.log_probs).any(axis=1)
        return np.where(lost, -1, self.words[:, 0]).astype(np.int64)

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each position's words and log-probabilities, equal exactly when they are so bit for bit."""
        return tuple(row_digest(row) for row in np.concatenate([self.words, self.log_probs], axis=1))

    def problem(self) -> str | None:
        """Why these are no such rows; None where they are."""
        shape = self.words.shape
        if len(shape) != 2 or not shape[1] or self.log_probs.shape != shape:
            return f"words {shape} and log-probabilities {self.log_probs.shape}: need equal [positions, k]"
        if {self.tail.shape, self.rms.shape} != {shape[:1]}:
            return f"tail {self.tail.shape} and rms {self.rms.shape} of {shape[0]} positions"
        if (self.words < 0).any() or (np.diff(np.sort(self.words, axis=1), axis=1) == 0).any():
            return "a token id is negative, or twice at one position"
        # Rows that are not finite pass: it is for the checks to say so.
        tail = self.tail[self.finite]
        if (self.log_probs[:, 1:] > self.log_probs[:, :-1]).any() or not ((tail >= 0) & (tail <= 1)).all():
            return "words are not likeliest first, or a tail is no probability"
        return None


def save_topk(folder: Path, index: int, rows: TopKRows) -> None:
    """Write the rows of the prompt at `index` into a trace folder that is being staged.

    Raises:
        ValueError: they do not fit together.
    """
    if (why := rows.problem()) is not None:
        raise ValueError(f"prompt {index}: {why}")
    np.savez(folder / topk_file(index), **{field.name: getattr(rows, field.name) for field in fields(rows)})


def load_topk(folder: Path, index: int, positions: int) -> TopKRows:
    """Read the rows of a prompt.

    Args:
        folder: of the trace.
        index: of the prompt.
        positions: that it must have.

    Raises:
        TraceError: the file is missing or damaged, or has not one row a position.
    """
    path = folder / topk_file(index)
    stored = read_arrays(path)
    try:
        rows = TopKRows(
            stored["words"].astype(np.int32),
            *(stored[name].astype(np.float64) for name in ("log_probs", "tail", "rms")),
        )
    except (KeyError, ValueError) as error:
        raise unreadable(path, error) from error
    why = rows.problem() or (None if len(rows) == positions else f"{len(rows)} rows, {positions} positions expected")
    if why is not None:
        raise TraceError(f"{path}: {why}; run the model again")
    return rows


def topk_file(index: int) -> str:
    """Name of the file of a prompt's rows in a trace folder."""
    return f"{index:04d}.npz"
