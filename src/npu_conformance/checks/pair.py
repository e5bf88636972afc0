"""Two traces of the same positions, and how they compare."""

from dataclasses import dataclass
from functools import cached_property

from npu_conformance.baselines.against import compare_walked
from npu_conformance.baselines.stored import Baseline
from npu_conformance.measure.compare import Comparison, compare
from npu_conformance.traces.trace import Trace


@dataclass(frozen=True)
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
    baseline: Baseline | None = None
    """What stands in for the rows of a reference that has none."""

    @cached_property
    def comparison(self) -> Comparison:
        """Candidate against reference, computed once (see `compare` for what it raises)."""
        if self.baseline is not None:
            return compare_walked(self.candidate, self.baseline)
        return compare(self.candidate, self.reference)

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
