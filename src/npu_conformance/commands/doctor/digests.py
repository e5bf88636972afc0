"""A folder's bytes against what was published, as far as this machine knows it."""

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.published_digests import NOT_KNOWN, compare_digests, digest_findings, digests_in_words
from npu_conformance.commands.doctor.checkpoint import with_findings

__all__ = ["NOT_KNOWN", "with_digests"]


def with_digests(checkpoint: Checkpoint, *, anew: bool = False) -> tuple[Checkpoint, str]:
    """A checkpoint with the files whose bytes differ among its findings, and one line on all of them.

    Args:
        checkpoint: an examined folder.
        anew: read every file; else small ones, and those whose digest is remembered count as they were then.

    Raises:
        CheckpointError: a file cannot be read.
    """
    files = compare_digests(checkpoint.folder, "anew" if anew else "small")
    return with_findings(checkpoint, digest_findings(checkpoint.folder, files)), digests_in_words(files)
