"""The folder that a conversion is made in, `<destination>.partial`, and the record in it by which one goes on.

Nothing is deleted there but the shards that the record lists and what a killed process left of them.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from npu_conformance.errors import CheckpointError
from npu_conformance.machine.storage import sha256, write_json

RECORD = "conversion.json"
"""What was converted, how, and what rounding cost."""

_BESIDE = (RECORD, "config.json", "model.safetensors.index.json")


class Identity(BaseModel):
    """What must be the same for finished shards to be kept."""

    model_config = ConfigDict(extra="forbid")

    source: str
    source_digest: str
    """Of config, headers, sizes and times of the files."""
    scheme: str
    options: dict[str, Any]
    dtype: str
    left_out: list[str]
    """Stored tensors that plain weights have no use for."""
    versions: dict[str, Any]


class Record(Identity):
    """The content of `conversion.json`."""

    shards: dict[str, list[dict[str, Any]]] = {}
    """By file, what each weight cost."""
    sha256: dict[str, str] = {}
    """By file."""
    total: dict[str, Any] | None = None
    """What all weights cost; when all are written."""


@dataclass(frozen=True)
class Stage:
    """A folder that nobody else writes to."""

    folder: Path
    record: Record

    def finish(self, file: str, account: list[dict[str, Any]]) -> None:
        """Note that a shard is whole."""
        self.record.shards[file] = account
        self.record.sha256[file] = sha256(self.folder / file)
        self.save()

    def save(self) -> None:
        """Write the record."""
        write_json(self.folder / RECORD, self.record.model_dump(exclude_none=True))

    def discard(self, files: Iterable[str]) -> None:
        """Delete these shards and the record, and the folder if nothing else is in it."""
        for file in (*files, RECORD):
            (self.folder / file).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()


@contextmanager
def open_stage(folder: Path, identity: Identity, files: Iterable[str]) -> Iterator[Stage]:
    """The folder for this process alone, new or with the shards that an earlier one finished.

    Args:
        folder: its place.
        identity: of the conversion.
        files: the shards it will have.

    Raises:
        CheckpointError: what is there is not this conversion's, or another process is at it.
        OSError: it cannot be made or read.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CheckpointError(f"{folder}: is no folder of a conversion: move it away, or choose another destination")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _clean(folder, [*files, *_BESIDE])
        yield Stage(folder, _resume(folder, identity, set(files)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process out, until this one ends, however it does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CheckpointError(f"{folder}: another process is converting to here: wait for it") from error
    finally:
        os.close(handle)


def _clean(folder: Path, files: Iterable[str]) -> None:
    """Delete what a killed process left of files it was writing, where the folder is a conversion's."""
    found = {path.name for path in folder.iterdir()}
    # What `staged_file` writes to.
    leftovers = {name for name in found if name.startswith(tuple(f".{file}." for file in files))}
    if RECORD not in found and found != leftovers:
        raise CheckpointError(f"{folder}: holds something else than a conversion: move it away")
    for name in leftovers:
        (folder / name).unlink()


def _resume(folder: Path, identity: Identity, files: set[str]) -> Record:
    """The record of what was done already; begun where there is none."""
    path = folder / RECORD
    if not os.path.lexists(path):
        return Record(**identity.model_dump())
    record = _read(path)
    wanted = identity.model_dump(mode="json")
    if changed := [key for key, value in record.model_dump(include=set(wanted)).items() if value != wanted[key]]:
        raise CheckpointError(
            f"{folder}: the conversion begun there had another {' and another '.join(changed)}: delete it to begin "
            "again, or choose another destination"
        )
    kept = [file for file in record.shards if file in files and _is_as_written(folder / file, record.sha256.get(file))]
    return record.model_copy(
        update={
            "shards": {file: record.shards[file] for file in kept},
            "sha256": {file: record.sha256[file] for file in kept},
            "total": None,
        }
    )


def find_record(folder: Path) -> Record | None:
    """The record of a finished conversion; None where the folder holds none.

    Args:
        folder: a checkpoint.
    """
    try:
        record = _read(folder / RECORD)
    except (CheckpointError, OSError):
        return None
    return None if record.total is None else record


def _read(path: Path) -> Record:
    try:
        if path.is_symlink():
            raise ValueError("a link to another file")  # noqa: TRY301
        return Record.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is not the record of a conversion: move {path.parent.name} away, or choose another destination"
        ) from error


def _is_as_written(file: Path, expected: str | None) -> bool:
    return file.is_file() and not file.is_symlink() and sha256(file) == expected
