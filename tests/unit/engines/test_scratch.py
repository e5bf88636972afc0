"""The files between the capture in the engine and the trace."""

from pathlib import Path

import numpy as np
import pytest

from npu_conformance.engines.vllm.scratch import FLOAT32, NARROW, capture_settings, read_digests, read_rows
from npu_conformance.errors import TraceError
from npu_conformance.traces.rows import Rows, unpack

WORDS, STEPS = 6, 4


@pytest.fixture
def rows() -> Rows:
    """Rows of two prompts that are exact in bfloat16."""
    return np.asarray(np.arange(2 * STEPS * WORDS, dtype=np.float32) * np.float32(0.25)).reshape(2 * STEPS, WORDS)


@pytest.fixture
def scratch(tmp_path: Path, rows: Rows) -> Path:
    """As the capture writes them: the second prompt's slots follow the first's."""
    (rows.view(np.uint32) >> 16).astype(np.uint16).tofile(tmp_path / "narrow")
    np.full(2 * STEPS, NARROW, dtype=np.uint8).tofile(tmp_path / "kind")
    (tmp_path / "vocabulary").write_text(str(WORDS))
    return tmp_path


def test_rows_are_found_by_prompt_and_step(scratch: Path, rows: Rows) -> None:
    """Also of an answer that ended early."""
    stored, storage = read_rows(scratch, 1, 3, STEPS, "bfloat16")

    assert storage == "bfloat16"
    np.testing.assert_array_equal(unpack(stored, storage), rows[STEPS : STEPS + 3])


def test_one_row_that_was_not_exact_widens_its_prompt(scratch: Path, rows: Rows) -> None:
    """The others are read from where they are."""
    wide = np.full(WORDS, 1.0000001, dtype=np.float32)
    with (scratch / "float32").open("wb") as file:
        file.seek(2 * WORDS * 4)
        file.write(wide.tobytes())
    kinds = np.full(2 * STEPS, NARROW, dtype=np.uint8)
    kinds[2] = FLOAT32
    kinds.tofile(scratch / "kind")
    stored, storage = read_rows(scratch, 0, STEPS, STEPS, "bfloat16")

    assert storage == "float32"
    np.testing.assert_array_equal(stored, np.stack([rows[0], rows[1], wide, rows[3]]))


@pytest.mark.parametrize("kinds", [[NARROW] * 6 + [0, NARROW], [NARROW] * 5])
def test_a_token_without_its_row_is_an_error(scratch: Path, kinds: list[int]) -> None:
    """A sampler that skips the processor cannot go unnoticed, at the end of the file neither."""
    np.array(kinds, dtype=np.uint8).tofile(scratch / "kind")

    with pytest.raises(TraceError, match=r"captured \d of 4 logits rows of prompt 1"):
        read_rows(scratch, 1, STEPS, STEPS, "bfloat16")


def test_digests_that_are_missing_equal_no_rows(tmp_path: Path) -> None:
    """All zeros."""
    (tmp_path / "digest").write_bytes(bytes(range(16)) * 2)

    assert read_digests(tmp_path, 0, 3, 4) == (bytes(range(16)).hex(), bytes(range(16)).hex(), "00" * 16)


def test_settings_travel_as_plain_data(tmp_path: Path) -> None:
    """They are sent to other processes."""
    (settings,) = capture_settings(tmp_path, 3, 48, digests_only=True).values()

    assert settings == {
        "scratch": str(tmp_path),
        "first_slot": 144,
        "max_tokens": 48,
        "digests_only": True,
        "forced": None,
        "by_rank": False,
    }
