"""A checkpoint that is newer than the transformers that engines or the reference will read it with."""

from pathlib import Path

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.rope_forms import unread_rope
from npu_conformance.checkpoints.small_files import newer_tokenizer
from npu_conformance.run.interpreters import installed


def too_new(checkpoint: Checkpoint, python: Path | None, whose: str) -> Finding | None:
    """An error where the transformers of an interpreter passes over a checkpoint's rotary settings or tokenizer.

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
    if version is None:
        return None
    if (tokenizer := newer_tokenizer(checkpoint, version, whose)) is not None:
        return tokenizer
    known = found.knows(str(checkpoint.config.get("model_type", "")))
    return unread_rope(checkpoint, version, whose) if known else None
