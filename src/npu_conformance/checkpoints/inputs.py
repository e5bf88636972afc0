"""What engine and reference share besides weights, read a second time before either starts: `inputs.json` of a run."""

from pydantic import BaseModel, ConfigDict

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.declared import Declarations, declarations
from npu_conformance.checkpoints.own_files import OwnFiles, compare_files


class Inputs(BaseModel):
    """The small files of both sides."""

    model_config = ConfigDict(frozen=True)

    candidate: Declarations
    reference: Declarations
    own_files: OwnFiles | None = None
    """The candidate's files against the published ones; None where they are the same."""


def read_inputs(candidate: Checkpoint, reference: Checkpoint) -> Inputs:
    """Read them.

    Args:
        candidate: what the engine loads.
        reference: the published checkpoint.
    """
    published = declarations(reference.folder, reference.config)
    if candidate.folder == reference.folder:
        return Inputs(candidate=published, reference=published)
    own = declarations(candidate.folder, candidate.config)
    return Inputs(candidate=own, reference=published, own_files=compare_files(candidate.folder, reference.folder))
