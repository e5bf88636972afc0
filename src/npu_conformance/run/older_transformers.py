"""A checkpoint whose rotary settings the transformers that engines or the reference will use does not read."""

from pathlib import Path

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.rope_forms import unread_rope
from npu_conformance.run.interpreters import installed


def rope_finding(checkpoint: Checkpoint, python: Path | None, whose: str) -> Finding | None:
    """An error where the transformers of an interpreter passes over a checkpoint's rotary settings.

    A model that it has no class for is read by one that vLLM or the checkpoint brings.

    Args:
        checkpoint: which.
        python: the interpreter; this process's where None.
        whose: it is, for the message.

    Raises:
        PlanError: the interpreter cannot be asked for its packages.
    """
    found = installed(python)
    version = found.packages.get("transformers")
    if version is None or not found.knows(str(checkpoint.config.get("model_type", ""))):
        return None
    return unread_rope(checkpoint, version, whose)
