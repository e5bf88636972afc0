"""What makes the traces of a model."""

from dataclasses import dataclass
from pathlib import Path

from npu_conformance.run.candidates import Candidates
from npu_conformance.run.preparation import Prepared
from npu_conformance.run.references import References


@dataclass(frozen=True)
class ModelRun:
    """The engines and the reference of a model, its weights made ready."""

    traces: Path
    prepared: Prepared
    candidates: Candidates
    references: References
