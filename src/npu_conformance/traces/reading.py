"""Reads what a run left: JSON of a known form and arrays, from regular files, in memory that the file's size bounds."""

import io
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from npu_conformance.errors import TraceError
from npu_conformance.machine.regular_files import open_regular

T = TypeVar("T")
_AGAIN = "run the model again"
_LONGEST_JSON = 256_000_000
# Its functions are typed as Python 2's.
npy: Any = numpy_format
_KINDS = "biufU"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_UNREADABLE = (OSError, ValueError, EOFError, BadZipFile, RuntimeError)


def read_saved(path: Path, form: TypeAdapter[T], remedy: str = _AGAIN) -> T:
    """A JSON file as what it holds.

    Args:
        path: the file.
        form: what it must be.
        remedy: what to do where it is something else.

    Raises:
        TraceError: it cannot be read, is too large, or is something else; names the key.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_LONGEST_JSON + 1)
        if len(text) > _LONGEST_JSON:
            raise TraceError(f"{path}: has more than {_LONGEST_JSON} bytes; {remedy}")
        return form.validate_json(text)
    except ValidationError as error:
        raise TraceError(f"{path}: {first_problem(error)}; {remedy}") from error
    except OSError as error:
        raise unreadable(path, error, remedy) from error


def first_problem(error: ValidationError) -> str:
    """The first of several errors: where, and what was expected."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, found["loc"]))
    message = found["msg"].removeprefix("Value error, ")
    told = f"{message[:1].lower()}{message[1:]}"
    return f"{place}: {told}" if place else told


def unreadable(path: Path, error: Exception, remedy: str = _AGAIN) -> TraceError:
    """What is said of a file that cannot be read."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else error
    return TraceError(f"{path}: cannot be read: {told}; {remedy}")


def read_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """The array of an `.npy` file, no larger than the file.

    Args:
        path: the file.
        mapped: map it into memory instead of reading it.

    Raises:
        TraceError: it cannot be read, or is not as long as its header says.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            _check_header(file, size)
            file.seek(0)
            found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False) if mapped else _read(file)
    except _UNREADABLE as error:
        raise unreadable(path, error) from error
    return found


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file by name, no larger than the file: none of ours is compressed.

    Raises:
        TraceError: it cannot be read, or an array in it is not as long as its header says.
    """
    try:
        with open_regular(path) as file, ZipFile(file) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != ZIP_STORED for entry in entries):
                raise ValueError("its arrays are compressed, which a run does not do")
            if sum(entry.file_size for entry in entries) > file.seek(0, io.SEEK_END):
                raise ValueError("its arrays would be larger than the file")
            found = {}
            for entry in entries:
                member = io.BytesIO(archive.read(entry))
                _check_header(member, entry.file_size)
                member.seek(0)
                found[entry.filename.removesuffix(".npy")] = _read(member)
            return found
    except _UNREADABLE as error:
        raise unreadable(path, error) from error


def _check_header(file: BinaryIO, size: int) -> None:
    """Raise ValueError where a file has not the bytes that its header tells of, before they are asked for."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of numpy's format, expected {' or '.join(map(str, _HEADERS))}")
    try:
        shape, _, dtype = _HEADERS[version](file)
    except Exception as error:  # numpy reads it with Python's parser, which has many
        raise ValueError(f"its header cannot be read: {error}") from error
    if dtype.kind not in _KINDS or min(shape, default=0) < 0:
        raise ValueError(f"its header tells of {shape} values of {dtype}, expected numbers or text")
    needed = dtype.itemsize
    for length in shape:  # of Python's integers, which have no end
        needed *= length
    if (there := size - file.tell()) != needed:
        raise ValueError(f"its header tells of {needed} bytes, {there} follow")


def _read(file: BinaryIO) -> NDArray[Any]:
    found: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return found
