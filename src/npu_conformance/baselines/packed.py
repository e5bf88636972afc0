"""Arrays as JSON has them: small, and the same on every machine."""

import base64
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

_DTYPES = {"int32": "<i4", "float32": "<f4", "float16": "<f2"}


class Part(BaseModel):
    """A part of a baseline's file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")


class Packed(Part):
    """An array, little endian, compressed by zlib, in base64."""

    dtype: Literal["int32", "float32", "float16"]
    shape: tuple[int, ...]
    data: str

    @classmethod
    def of(cls, values: Any, dtype: Literal["int32", "float32", "float16"]) -> "Packed":
        """Pack values in a dtype."""
        array = np.ascontiguousarray(values, dtype=_DTYPES[dtype])
        return cls(dtype=dtype, shape=array.shape, data=base64.b64encode(zlib.compress(array.tobytes(), 9)).decode())

    def array(self) -> NDArray[Any]:
        """The values.

        Raises:
            ValueError: the data is damaged, or is not of this shape.
        """
        dtype = np.dtype(_DTYPES[self.dtype])
        size = int(np.prod(self.shape)) * dtype.itemsize
        unpacker = zlib.decompressobj()
        try:
            # One more byte than there may be: a damaged file is not to fill the memory.
            content = unpacker.decompress(base64.b64decode(self.data, validate=True), size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged: {error}") from error
        if len(content) != size or not unpacker.eof:
            raise ValueError(f"damaged: not {size} bytes of {self.dtype} {self.shape}")
        return np.frombuffer(content, dtype=dtype).reshape(self.shape)
