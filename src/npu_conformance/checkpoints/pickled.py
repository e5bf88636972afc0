"""Headers of `pytorch_model.bin`: the pickle in torch's zip format, read without torch and without running it.

A pickle is a program. This one may build dictionaries of inert descriptions of tensors and nothing else.
"""

import io
import pickle
import reprlib
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from npu_conformance.checkpoints.content import open_content
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.errors import CheckpointError

_STORAGES = {
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2),
    "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1),
}
# Of a byte each, so that elements count as bytes; they lie in storages without a type.
_UNTYPED = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"}

# A state dict of 100,000 tensors takes 20 MB.
_LONGEST = 64_000_000


@dataclass(frozen=True)
class _Storage:
    dtype: str
    itemsize: int
    record: str
    elements: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    dtype: str


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, storage.dtype)


def _untyped_tensor(storage: _Storage, offset: int, shape: tuple[int, ...], *more: Any) -> _Tensor:
    _, _, _, dtype, *_ = more
    return _Tensor(storage, offset, shape, _UNTYPED[dtype])


def _parameter(data: _Tensor, *_: Any) -> _Tensor:
    return data


_CLASSES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _untyped_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "UntypedStorage"): "UntypedStorage",
    **{("torch", name): name for name in (*_STORAGES, *_UNTYPED)},
}


class _Header(pickle._Unpickler):
    """In Python, because the one in C makes room for as many objects as a damaged file says that it has."""

    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}  # noqa: RUF012

    def __init__(self, stream: IO[bytes], file: Path) -> None:
        super().__init__(stream)
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CLASSES:
            raise CheckpointError(
                f"{self._file}: wants {module}.{name}, which a state dict does not need and which may run code: "
                "use the model's safetensors files, or save its state dict alone"
            )
        return _CLASSES[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, elements = pid
        dtype, itemsize = _STORAGES.get(kind, ("U8", 1))
        return _Storage(dtype, itemsize, str(key), elements)


def read_pickled_header(file: Path) -> dict[str, Tensor]:
    """The tensors a `.bin` file in torch's zip format declares, checked against what the archive holds.

    Raises:
        CheckpointError: the file is no regular file, a Git LFS pointer, truncated, not such an archive, holds anything
            but a state dict, or wants a class that a state dict does not need.
        FileNotFoundError: it is missing.
    """
    try:
        with open_content(file) as content, zipfile.ZipFile(content) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            root = next(name for name in sizes if name.endswith("data.pkl")).removesuffix("data.pkl")
            with archive.open(f"{root}data.pkl") as stream:
                # A longer header ends early, which is an error too.
                state = _Header(io.BytesIO(stream.read(_LONGEST)), file).load()
    except zipfile.BadZipFile as error:
        raise CheckpointError(_not_a_zip(file)) from error
    except (CheckpointError, FileNotFoundError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise CheckpointError(f"{file}: its header cannot be read ({error!r}): download it again") from error
    data = f"{root}data/"
    return {name: _checked(file, name, tensor, sizes, data) for name, tensor in _items(file, state)}


def _not_a_zip(file: Path) -> str:
    with file.open("rb") as stream:
        if stream.read(2) == b"PK":
            return f"{file}: truncated: its table of contents is missing: download it again"
    return f"{file}: not a zip archive as torch.save has written since 1.6: download it again, or save it again"


def _items(file: Path, state: Any) -> list[tuple[str, Any]]:
    if not isinstance(state, dict):
        raise CheckpointError(f"{file}: holds a {type(state).__name__}, expected a state dict of tensors by name")
    if odd := [name for name in state if not isinstance(name, str)]:
        raise CheckpointError(f"{file}: {reprlib.repr(odd[0])} is no tensor's name: save the state dict alone")
    return list(state.items())


def _checked(file: Path, name: str, tensor: Any, sizes: dict[str, int], data: str) -> Tensor:
    if not isinstance(tensor, _Tensor):
        raise CheckpointError(
            f"{file}: {name} is a {type(tensor).__name__}, expected a tensor: save the state dict alone"
        )
    if not all(isinstance(size, int) and size >= 0 for size in (tensor.offset, *tensor.shape)):
        raise CheckpointError(f"{file}: {name} is of shape {reprlib.repr(tensor.shape)}: download it again")
    storage = tensor.storage
    declared, found = storage.elements * storage.itemsize, sizes.get(data + storage.record)
    if found != declared or tensor.offset + prod(tensor.shape) > storage.elements:
        raise CheckpointError(
            f"{file}: {name} needs {declared} bytes in {data}{storage.record}, the archive has {found}: "
            "download it again"
        )
    return Tensor(tuple(tensor.shape), tensor.dtype, file)
