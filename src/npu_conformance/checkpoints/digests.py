"""SHA-256 of a checkpoint's files. Hashing 8 GB takes seconds, so a digest is remembered by path, size and times."""

import hashlib
import json
import re
from pathlib import Path

from npu_conformance.machine.storage import cache_dir, digest, sha256, write_json

_HEX = re.compile(r"[0-9a-f]{64}")
# Files that nobody loads, and in which copies of the same model differ by the hub they came from (configuration.json is
# ModelScope's) or the machine they were written on (conversion.json is ours). What is not known to say nothing counts.
_SAYS_NOTHING = re.compile(
    r".*\.(md|png|jpe?g|gif|svg|webp|pdf)"
    r"|([\w ]*licen[sc]e[-\w ]*|readme[-\w]*|notice|requirements)(\.(txt|rst))?"
    r"|configuration\.json|conversion\.json",
    re.IGNORECASE,
)
MANIFEST = re.compile(r"(sha256sums?|checksums?)(\.txt)?|.+\.sha256", re.IGNORECASE)
"""Names of files that list digests of the others, as `sha256sum` writes them."""


def loaded_files(folder: Path) -> list[Path]:
    """The files of a checkpoint folder that say what is loaded, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _counts(path.name))


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex, remembered in the cache."""
    known = known_digest(path)
    return read_digest(path) if known is None else known


def known_digest(path: Path) -> str | None:
    """The same where it is remembered; the file is not read."""
    try:
        found = str(json.loads(_note(path).read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if _HEX.fullmatch(found) else None


def read_digest(path: Path) -> str:
    """The same of the bytes that are on the disk now, whatever is remembered."""
    found = sha256(path)
    write_json(_note(path), {"sha256": found, "file": str(path)})
    return found


def git_blob(path: Path) -> str:
    """The id that git gives a file's bytes, in hex."""
    sha = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def git_pointer(sha256_hex: str, size: int) -> str:
    """The id that git gives the Git LFS pointer to a file, in hex.

    Args:
        sha256_hex: of the file.
        size: of the file in bytes.
    """
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256_hex}\nsize {size}\n".encode()
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


def _counts(name: str) -> bool:
    return not name.startswith(".") and not _SAYS_NOTHING.fullmatch(name) and not MANIFEST.fullmatch(name)


def _note(path: Path) -> Path:
    state = path.stat()
    identity = [str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    return cache_dir() / "digests" / f"{digest(identity)}.json"
