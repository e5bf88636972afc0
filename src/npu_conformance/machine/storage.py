"""Where things are kept, and how they are written so that nothing half-written is ever found."""

import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

CACHE_VARIABLE = "NPU_CONFORMANCE_CACHE"
JOB_VARIABLE = "NPU_CONFORMANCE_JOB"
LOG_VARIABLE = "NPU_CONFORMANCE_LOG"
"""Marks the processes of a job and what they stage, by a token in their environment."""

_CHUNK = 1 << 22


def cache_dir() -> Path:
    """The cache for twins, references and file digests, outside any checkout."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "npu-conformance"


def run_folder(reports: Path, name: str = "") -> Path:
    """A folder for a run among reports, not made yet; no other run, also of this second, has the same."""
    stem = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{os.getpid()}"
    stems = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    places = (reports / (f"{one}-{name}" if name else one) for one in stems)
    return next(place for place in places if not place.exists())


def link_or_copy(source: str | Path, destination: str | Path) -> None:
    """A file in another place too: the same one where the disk allows it, else a copy."""
    try:
        Path(destination).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, destination)


@contextmanager
def staged_file(destination: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `destination` in one rename, or vanishes if writing it fails."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=destination.parent, prefix=_stage_prefix(destination))
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(destination)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def scratch_dir(beside: Path) -> Iterator[Path]:
    """A folder for what is needed only while `beside` is made; on its disk, not in /tmp, for it may be large."""
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=_stage_prefix(beside)) as name:
        yield Path(name)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole (see `staged_file`)."""
    with staged_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # half a character, which UTF-8 does not have


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole (see `write_text`), readable and with stable key order as given."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def staged_dir(destination: Path) -> Iterator[Path]:
    """A folder to fill that becomes `destination` in one rename, or vanishes if filling it fails.

    When somebody else put `destination` there meanwhile, theirs stays: both were made from the same inputs.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=destination.parent, prefix=_stage_prefix(destination)))
    try:
        yield stage
        stage.chmod(0o755)
        try:
            stage.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def sweep(folder: Path, job: str) -> None:
    """Remove what a job that was killed had staged in a folder.

    Args:
        folder: where it staged.
        job: the job's token.
    """
    for stage in folder.glob(f".*.{job}.*"):
        if stage.is_dir():
            shutil.rmtree(stage, ignore_errors=True)
        else:
            stage.unlink(missing_ok=True)


def _stage_prefix(destination: Path) -> str:
    return f".{destination.name}.{os.environ.get(JOB_VARIABLE, os.getpid())}."


def digest(value: Any) -> str:
    """A short hex digest of a JSON-able value, for cache keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def code_digest(package: Path) -> str:
    """Digest of a package's own source, for results that its next version would make otherwise."""
    return digest([[path.name, path.read_text(encoding="utf-8")] for path in sorted(package.glob("*.py"))])
