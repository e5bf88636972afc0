"""The evidence on one model in one variant: what its checks may look at, and nothing else."""

from dataclasses import dataclass
from functools import cached_property

from npu_conformance.audit.audit import Audit
from npu_conformance.checkpoints.scan import Scan
from npu_conformance.compare import Comparison, compare
from npu_conformance.config import ModelConfig
from npu_conformance.prompts import Prompt
from npu_conformance.trace import Trace


@dataclass(frozen=True)
class Evidence:
    """All that the checks of one model in one variant may look at."""

    variant: str
    config: ModelConfig
    prompts: tuple[Prompt, ...]
    candidate: Trace
    reference: Trace
    scan: Scan
    """What the candidate's weights show."""
    audit: Audit | None = None
    """The candidate's weights against the published ones; None where they are the same files."""
    second_reference: Trace | None = None
    """The same tokens scored in another dtype, to be reported beside."""

    @cached_property
    def comparison(self) -> Comparison:
        """Candidate against reference, computed once (see `compare` for what it raises)."""
        return compare(self.candidate, self.reference)

    def place(self, position: int) -> str:
        """A position for people: prompt, step, both tokens with both logits."""
        comparison = self.comparison
        prompt, step = comparison.locate(position)
        mine, theirs = comparison.tokens[position], comparison.choices[position]
        c_mine, c_theirs, r_mine, r_theirs = comparison.token_logits[position]
        return (
            f"{comparison.prompts[prompt]}, position {step}: candidate {self.reference.piece(int(mine))}, "
            f"reference {self.reference.piece(int(theirs))}; logits of the two: candidate {c_mine:.4f} and "
            f"{c_theirs:.4f}, reference {r_mine:.4f} and {r_theirs:.4f}"
        )
