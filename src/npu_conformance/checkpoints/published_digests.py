"""A checkpoint's files against the digests of those that were published, as far as this machine knows them offline.

Engine and reference read the same bytes, so no comparison of the two shows that a download is damaged. ModelScope's
cache keeps revisions and no digests: of it nothing is known.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.checkpoints.digests import (
    MANIFEST,
    file_digest,
    git_blob,
    git_pointer,
    known_digest,
    loaded_files,
    read_digest,
)
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.storage import sha256

State = Literal["as published", "differs", "not read", "unknown"]
Known = dict[str, tuple[str, str]]
"""By file name: hex digest, 64 digits of SHA-256 or 40 of git's, and who says so."""

NOT_KNOWN = "not known here: no manifest, Hugging Face cache or git clone"
_SMALL = 32 << 20
"""Bytes of a file that is hashed without being asked for."""
_MOST = 16 << 20
"""Bytes of a list of digests that is read."""
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LINE = re.compile(
    r"(?P<hex>[0-9a-fA-F]{64}) [ *](?:\./)?(?P<name>[^/]+)|SHA256 \((?P<named>[^/]+)\) = (?P<bsd>\w{64})"
)
_WEIGHTS = re.compile(r".*\.(safetensors|bin|pt|pth|gguf|npz)")
_ENTRY = struct.Struct(">40x20sH")
"""An entry of git's index: times and such, the blob's id, flags."""


class FileDigest(BaseModel):
    """A file of a checkpoint, and whether it is the published one."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    sha256: str | None
    """In hex; null where the file was not read."""
    published: State
    """`not read`: a digest is known, the file was not hashed; `unknown`: nobody here knows what was published."""
    source: str | None = None
    """Who says what was published."""


def published_digests(folder: Path) -> Known:
    """Digests of a folder's files as they were published: from a manifest, the Hugging Face caches, or a git clone."""
    known: Known = {}
    for source in (_git_clone, _local_dir, _hub_cache, _manifests):
        known |= dict(source(folder))
    return known


def compare_digests(folder: Path, read: Literal["small", "all", "anew"]) -> list[FileDigest]:
    """Each file that is loaded, against what was published.

    Args:
        folder: of a checkpoint.
        read: which files are hashed: small ones, all, or all whatever is remembered.

    Raises:
        CheckpointError: a file cannot be read.
    """
    known = published_digests(folder)
    return [_compared(path, known.get(path.name), read) for path in loaded_files(folder)]


def digest_findings(folder: Path, files: list[FileDigest]) -> list[Finding]:
    """What differs: weights are an error, for whoever changed them on purpose keeps them elsewhere."""
    return [
        Finding(
            "error" if _WEIGHTS.fullmatch(file.name) else "warning",
            file.name,
            f"its bytes are not the published ones: {file.source} has another digest than sha256 {file.sha256}: "
            f"remove {(folder / file.name).resolve()} and download it again, or, if it was changed on purpose, keep "
            "the model in a folder without these digests",
        )
        for file in files
        if file.published == "differs"
    ]


def digests_in_words(files: list[FileDigest]) -> str:
    """One line: how many files are as published, by whom, and of how many that is not known."""
    counts = {state: sum(file.published == state for file in files) for state in ("as published", "differs")}
    sources = sorted({file.source for file in files if file.source is not None})
    if not sources:
        return NOT_KNOWN
    told = [
        f"{count} of {len(files)} files {'differ' if state == 'differs' else state}" for state, count in counts.items()
    ]
    unread = sum(file.published == "not read" for file in files)
    told += [f"{unread} not read (--digests reads them)"] if unread else []
    return f"{', '.join(told)}, by {' and '.join(sources)}"


def _compared(path: Path, published: tuple[str, str] | None, read: str) -> FileDigest:
    digest, source = published or (None, None)
    state: State = "unknown"
    try:
        sha = _read(path, read)
        if digest is not None:
            state = "not read" if sha is None else "as published" if _same(path, sha, digest) else "differs"
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}): its digest is not known") from error
    return FileDigest(name=path.name, sha256=sha, published=state, source=source)


def _read(path: Path, read: str) -> str | None:
    if read == "anew":
        return read_digest(path)
    if read == "all":
        return file_digest(path)
    known = known_digest(path)
    return sha256(path) if known is None and path.stat().st_size <= _SMALL else known


def _same(path: Path, sha: str, published: str) -> bool:
    """Whether a file is the published one; git's ids are of the file, or of the Git LFS pointer to it."""
    if len(published) == 64:
        return sha == published
    return published == git_pointer(sha, path.stat().st_size) or published == git_blob(path)


def _manifests(folder: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    for path in sorted(folder.iterdir()):
        if not MANIFEST.fullmatch(path.name) or not path.is_file():
            continue
        for line in _bytes(path).decode(errors="replace").splitlines():
            if found := _LINE.fullmatch(line.rstrip()):
                yield found["name"] or found["named"], ((found["hex"] or found["bsd"]).lower(), path.name)


def _hub_cache(folder: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """`snapshots/REVISION/NAME` links to `blobs/DIGEST`, by the name under which the hub gave the file."""
    for path in folder.iterdir():
        if not path.is_symlink():
            continue
        blob = Path(os.path.realpath(path))  # of a loop too
        if blob.parent.name == "blobs" and _DIGEST.fullmatch(blob.name):
            yield path.name, (blob.name, "Hugging Face cache")


def _local_dir(folder: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """`hf download --local-dir` leaves revision, digest and time of each file, a line each."""
    for path in sorted((folder / ".cache" / "huggingface" / "download").glob("*.metadata")):
        lines = _bytes(path).decode(errors="replace").split("\n")
        if len(lines) > 1 and _DIGEST.fullmatch(lines[1].strip()):
            yield path.name.removesuffix(".metadata"), (lines[1].strip(), "Hugging Face download")


def _git_clone(folder: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """The index of a clone, which has the id of each file's bytes or of its Git LFS pointer's.

    git is not asked, for it runs what a repository's own configuration names.
    """
    content = _bytes(folder / ".git" / "index")
    if content[:4] != b"DIRC" or content[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
        return
    place = 12
    for _ in range(int.from_bytes(content[8:12], "big")):
        if len(content) < place + _ENTRY.size:
            return
        blob, flags = _ENTRY.unpack_from(content, place)
        start = place + _ENTRY.size + (2 if flags & 0x4000 else 0)
        end = content.find(b"\0", start)
        if end < 0:
            return
        name = content[start:end].decode(errors="replace")
        if "/" not in name:
            yield name, (blob.hex(), "git index")
        place += (end - place) // 8 * 8 + 8


def _bytes(path: Path) -> bytes:
    """Of a regular file that is not too large to be what it should be; else nothing."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST:
            return b""
        return path.read_bytes()
    except OSError:
        return b""
