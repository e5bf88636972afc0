"""Two traces of the same positions, and how they compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.errors import TraceError
from npu_conformance.measure.compare import compare_all
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.kept import load_comparison
from npu_conformance.traces.trace import Trace


@dataclass
class Pair:
    """Two traces of the same positions."""

    candidate: Trace
    reference: Trace
    """What the candidate is held against: the reference, or another run of the engine."""
    pieces: Trace
    """The trace that knows the text of tokens."""
    sides: tuple[str, str] = ("candidate", "reference")
    """What messages call the two."""
    same_weights: bool = False
    """Whether both are runs of the engine, between whose weights no quantisation lies."""
    scored: bool = True
    """Whether it is at the positions that the reference and the noise floor scored."""
    with_others: Callable[[], None] | None = None
    """Compares this pair together with others that share its rows."""
    found: Comparison | TraceError | None = None
    """What comparing gave; None before."""

    @property
    def comparison(self) -> Comparison:
        """Candidate against reference, computed once (see `compare` for what it raises)."""
        if self.found is None and self.with_others is not None:
            self.with_others()
        if self.found is None:
            compare_together([self])
        if not isinstance(self.found, Comparison):
            raise self.found or TraceError(f"{self.candidate.folder}: was not compared")
        return self.found

    def place(self, position: int) -> str:
        """A position for people: prompt, step, both tokens with both logits."""
        comparison, (left, right) = self.comparison, self.sides
        prompt, step = comparison.locate(position)
        mine, theirs = comparison.tokens[position], comparison.choices[position]
        c_mine, c_theirs, r_mine, r_theirs = comparison.token_logits[position]
        return (
            f"{comparison.prompts[prompt]}, position {step}: {left} {self.pieces.piece(int(mine))}, "
            f"{right} {self.pieces.piece(int(theirs))}; logits of the two: {left} {c_mine:.4f} and "
            f"{c_theirs:.4f}, {right} {r_mine:.4f} and {r_theirs:.4f}"
        )


def kept_comparison(name: str, mine: Trace, theirs: Trace, kept: Path) -> Comparison | TraceError | None:
    """What a run kept of a pair in place of its rows; None where the rows are there."""
    if mine.has_rows and theirs.has_rows:
        return None
    try:
        return load_comparison(kept / f"{name}.npz")
    except TraceError as error:
        return error


def compare_together(pairs: Sequence[Pair]) -> None:
    """Compare the pairs that were not yet in one pass over all their rows."""
    waiting = [pair for pair in pairs if pair.found is None]
    found = compare_all([(pair.candidate, pair.reference) for pair in waiting])
    for pair, one in zip(waiting, found, strict=True):
        pair.found = one
