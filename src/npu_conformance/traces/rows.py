"""Rows of logits in the narrowest form that is exact: bfloat16 as uint16 bit patterns, float16, or float32."""

import hashlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Storage = Literal["bfloat16", "float16", "float32"]
Rows = NDArray[np.float32]
STORED_AS: dict[Storage, str] = {"bfloat16": "uint16", "float16": "float16", "float32": "float32"}
"""Names of numpy's dtypes."""


def pack(rows: Rows) -> tuple[NDArray[Any], Storage]:
    """Rows in the narrowest storage that is exact for all of them.

    Args:
        rows: float32 [positions, vocabulary].

    Returns:
        The stored array and the name of its storage.
    """
    bits = np.ascontiguousarray(rows).view(np.uint32)
    if not (bits & 0xFFFF).any():
        return (bits >> 16).astype(np.uint16), "bfloat16"
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    if np.array_equal(half.astype(np.float32).view(np.uint32), bits):
        return half, "float16"
    return rows, "float32"


def storage_of(stored: NDArray[Any]) -> Storage:
    """How an array that `pack` made is stored."""
    return next(storage for storage, name in STORED_AS.items() if name == stored.dtype.name)


def unpack(stored: NDArray[Any], storage: Storage) -> Rows:
    """The float32 rows that `pack` was given, bit for bit."""
    if storage == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


def row_hashes(rows: Rows) -> NDArray[np.uint64]:
    """A number for each float32 logits row [positions], equal for rows that are bitwise equal, else by chance alone.

    Args:
        rows: [positions, vocabulary].
    """
    found = [hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)


def row_digest(row: NDArray[Any]) -> str:
    """Digest of one row, of float32 logits [vocabulary] or of likeliest words; equal exactly when the bits are."""
    return hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).hexdigest()
