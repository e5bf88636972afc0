"""The scratch files between the capture inside the engine and the trace; `capture` says what is in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.traces.rows import Rows, Storage, unpack

EXTRA_ARGS_KEY = "npu_conformance"
"""Key in `SamplingParams.extra_args` under which a request's capture settings travel into the engine."""
NARROW, FLOAT32 = 1, 2
DIGEST_BYTES = 16


PLACE = np.dtype([("row", "<u4"), ("prefills", "<u4")])
"""Of a captured slot: the engine's batch row, and prefills of the request so far."""
GIVEN = np.dtype([("digest", "S32"), ("wrote", "u1")])
"""Of a slot, a file a tensor-parallel rank: hex digest of the row that it was given, and whether it wrote that row."""


def capture_settings(
    scratch: Path,
    index: int,
    max_tokens: int,
    *,
    digests_only: bool,
    forced: Sequence[int] | None = None,
    by_rank: bool = False,
) -> dict[str, Any]:
    """Sampling `extra_args` that make the engine record the request at `index`, and take forced tokens if given.

    With `by_rank` each tensor-parallel rank leaves what it was given besides (see `GIVEN`).
    """
    settings = {
        "scratch": str(scratch),
        "first_slot": index * max_tokens,
        "max_tokens": max_tokens,
        "digests_only": digests_only,
        "forced": None if forced is None else list(forced),
        "by_rank": by_rank,
    }
    return {EXTRA_ARGS_KEY: settings}


def read_rows(scratch: Path, index: int, count: int, max_tokens: int, narrow: Storage) -> tuple[NDArray[Any], Storage]:
    """The captured rows of a prompt, stored, [count, vocabulary], and how they are stored.

    Args:
        scratch: the folder the capture wrote to.
        index: the prompt's index.
        count: how many steps it took.
        max_tokens: slots a prompt has.
        narrow: what the file `narrow` holds: the model's dtype.

    Raises:
        TraceError: the engine produced a token whose logits were never captured.
    """
    vocabulary = int((scratch / "vocabulary").read_text())
    slots = range(index * max_tokens, index * max_tokens + count)
    kinds = np.fromfile(scratch / "kind", dtype=np.uint8, count=slots.stop)[slots.start :]
    if len(kinds) < count or not kinds.all():
        raise TraceError(
            f"captured {np.count_nonzero(kinds)} of {count} logits rows of prompt {index}: the engine sampled tokens "
            "without calling its logits processor; is speculative decoding on?"
        )
    if (kinds == NARROW).all():
        return _read(scratch / "narrow", slots, vocabulary, _stored_dtype(narrow)), narrow
    rows = [
        unpack(_read(scratch / "narrow", range(slot, slot + 1), vocabulary, _stored_dtype(narrow)), narrow)
        if kind == NARROW
        else _read(scratch / "float32", range(slot, slot + 1), vocabulary, np.float32)
        for slot, kind in zip(slots, kinds, strict=True)
    ]
    joined: Rows = np.concatenate(rows)
    return joined, "float32"


def read_digests(scratch: Path, index: int, count: int, max_tokens: int) -> tuple[str, ...]:
    """Digests of a prompt's rows from a digests-only run; all zeros where none was captured."""
    data = (scratch / "digest").read_bytes()[index * max_tokens * DIGEST_BYTES :]
    pieces = (data[step * DIGEST_BYTES : (step + 1) * DIGEST_BYTES] for step in range(count))
    return tuple(piece.ljust(DIGEST_BYTES, b"\0").hex() for piece in pieces)


def read_places(scratch: Path, index: int, count: int, max_tokens: int) -> NDArray[Any]:
    """Where in the engine's batches a request's rows were computed: `PLACE` [steps]."""
    return np.fromfile(scratch / "place", dtype=PLACE, count=count, offset=index * max_tokens * PLACE.itemsize)


def given_file(rank: int) -> str:
    """Name of the file in which a tensor-parallel rank leaves what it was given."""
    return f"given-{rank}"


def read_given(scratch: Path, index: int, count: int, max_tokens: int) -> dict[int, NDArray[Any]]:
    """What each rank was given of a request: `GIVEN` [steps] by rank, for the ranks that left anything."""
    first = index * max_tokens * GIVEN.itemsize
    files = {int(path.name.rpartition("-")[2]): path for path in scratch.glob("given-*")}
    return {rank: np.fromfile(path, dtype=GIVEN, count=count, offset=first) for rank, path in sorted(files.items())}


def _stored_dtype(narrow: Storage) -> type[np.generic]:
    return np.uint16 if narrow == "bfloat16" else np.float16


def _read(path: Path, slots: range, vocabulary: int, dtype: type[np.generic]) -> NDArray[Any]:
    stored = np.dtype(dtype)
    offset = slots.start * vocabulary * stored.itemsize
    rows = np.fromfile(path, dtype=stored, count=len(slots) * vocabulary, offset=offset)
    return rows.reshape(len(slots), vocabulary)
