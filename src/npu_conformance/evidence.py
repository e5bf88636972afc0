"""The evidence on one model in one variant: what its checks may look at, and nothing else."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from npu_conformance.audit.audit import Audit
from npu_conformance.checkpoints.scan import Scan
from npu_conformance.compare import Comparison, compare
from npu_conformance.config import ModelConfig
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import TraceError
from npu_conformance.prompts import Prompt
from npu_conformance.trace import Trace, load_trace

Result = TypeVar("Result", bound=BaseModel)


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


def load_evidence(traces: Path, variant: str, config: ModelConfig) -> Evidence:
    """What a run left in a model's folder of traces.

    Raises:
        TraceError: a part of it is missing or damaged.
    """
    second = traces / variant / "second_reference"
    return Evidence(
        variant=variant,
        config=config,
        prompts=load_rendered(traces / "rendered.json").prompts,
        candidate=load_trace(traces / variant / "candidate"),
        reference=load_trace(traces / variant / "reference"),
        second_reference=load_trace(second) if second.is_dir() else None,
        scan=_saved(traces / "scan.json", Scan),
        audit=_saved(traces / "audit.json", Audit) if (traces / "audit.json").is_file() else None,
    )


def _saved(path: Path, kind: type[Result]) -> Result:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TraceError(f"{path}: cannot be read: {error}; run the model again") from error
