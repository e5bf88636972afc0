"""Traces: exact storage, and damage that is seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from npu_conformance.errors import TraceError
from npu_conformance.traces.rows import Rows, pack, row_digest, unpack
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.scenes import Scene


@given(arrays(np.float32, (2, 7), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_storage_is_exact_for_any_rows(rows: Rows) -> None:
    """Bit for bit, NaN and infinities included."""
    stored, storage = pack(rows)

    np.testing.assert_array_equal(unpack(stored, storage).view(np.uint32), rows.view(np.uint32))


@pytest.mark.parametrize(
    ("value", "storage", "size"), [(1.5, "bfloat16", 2), (1.0009765625, "float16", 2), (1.0000001, "float32", 4)]
)
def test_storage_is_the_narrowest_that_is_exact(value: float, storage: str, size: int) -> None:
    """One value that does not fit widens its prompt's rows."""
    stored, chosen = pack(np.full((2, 3), value, dtype=np.float32))

    assert (chosen, stored.itemsize) == (storage, size)


def test_digests_differ_in_the_last_bit() -> None:
    """And for the sign of zero, which compares equal."""
    row = np.zeros(4, dtype=np.float32)

    assert row_digest(row) == row_digest(row.copy())
    assert row_digest(row) != row_digest(np.negative(row))
    assert row_digest(row) != row_digest(np.nextafter(row, np.float32(1)))


def test_judged_positions_end_with_the_first_end_of_text(scene: Scene) -> None:
    """The end token itself counts, what follows does not."""
    trace = load_trace(scene.folder / "candidate")
    assert trace.judged(0) == 200

    tokens = list(trace.answers[0].token_ids)
    tokens[9] = tokens[30] = 0
    scene.edit_answer("candidate", 0, token_ids=tokens)

    assert load_trace(scene.folder / "candidate").judged(0) == 10


def test_a_missing_trace_is_named(scene: Scene) -> None:
    """By folder."""
    with pytest.raises(TraceError, match="no trace here"):
        load_trace(scene.folder / "elsewhere")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "answers": [{"prompt": "a"}]}'])
def test_a_damaged_trace_is_named(scene: Scene, text: str) -> None:
    """Whatever is wrong with its JSON."""
    (scene.folder / "candidate" / "trace.json").write_text(text)

    with pytest.raises(TraceError, match=r"trace\.json"):
        load_trace(scene.folder / "candidate")


def test_cut_or_missing_logits_are_named(scene: Scene) -> None:
    """A truncated file, one with too few rows, and one that is gone."""
    path = scene.folder / "candidate" / "0001.npy"
    whole = path.read_bytes()
    trace = load_trace(scene.folder / "candidate")

    path.write_bytes(whole[:-100])
    with pytest.raises(TraceError, match=r"0001\.npy: cannot be read"):
        trace.logits(1)
    np.save(path, np.zeros((3, 20), dtype=np.float32))
    with pytest.raises(TraceError, match="expected 200 rows of logits for set/second, found shape"):
        trace.logits(1)
    path.unlink()
    with pytest.raises(TraceError, match="run the model again"):
        trace.logits(1)
