"""Opens a checkpoint's files: only regular ones, and none that Git LFS left a pointer in place of."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from npu_conformance.errors import CheckpointError
from npu_conformance.machine.regular_files import open_regular

# The specification has pointers end before 1,024 bytes.
_POINTER = re.compile(rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/.{1,1000}", re.DOTALL)
_SIZE = re.compile(rb"\nsize ([0-9]{1,18})\b")
_LOADED = ("*.json", "*.model", "*.jinja", "*.txt", "*.tiktoken", "*.py")
_UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


def open_content(path: Path) -> BinaryIO:
    """Open one of a checkpoint's files for reading its bytes.

    Raises:
        CheckpointError: it cannot be read, is no regular file, or is a Git LFS pointer.
        FileNotFoundError: it is missing.
    """
    try:
        stream = open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    told = _pointer(path, stream.read(1024))
    if told is not None:
        stream.close()
        raise CheckpointError(f"{path}: {told}")
    stream.seek(0)
    return stream


def pointers(folder: Path) -> Iterator[tuple[Path, str]]:
    """The small files of a checkpoint folder that are Git LFS pointers, and what to do about each."""
    for path in sorted({path for pattern in _LOADED for path in folder.glob(pattern) if path.is_file()}):
        with open_regular(path) as stream:
            told = _pointer(path, stream.read(1024))
        if told is not None:
            yield path, told


def _pointer(path: Path, start: bytes) -> str | None:
    if _POINTER.fullmatch(start) is None:
        return None
    size = _SIZE.search(start)
    of = f" to a file of {_shown(int(size[1]))}" if size else ""
    return f"a Git LFS pointer{of}, not the file: run `git lfs pull` in {path.parent}"


def _shown(size: int) -> str:
    for unit, bytes_in_it in _UNITS.items():
        if size >= bytes_in_it:
            return f"{size / bytes_in_it:.1f} {unit}"
    return f"{size} bytes"
