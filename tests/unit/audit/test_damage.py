"""Bytes of weights that a disk or a download damaged are seen in the scan; weights as models have them are not."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.audit.damage import PIECE, find_damage
from npu_conformance.audit.scan import scan
from npu_conformance.audit.statistics import measure
from npu_conformance.checkpoints.inspect import examine
from tests.unit.audit.test_scan import told, written
from tests.unit.helpers.damaged_bytes import NAME, SOUND, bell, raw_of

if TYPE_CHECKING:
    import torch

KIB = 1 << 10


def findings(folder: Path, tensor: "torch.Tensor", name: str = NAME) -> list[str]:
    """Of a checkpoint with this tensor alone."""
    return told(scan(examine(written(folder, {name: tensor})), lambda *_: None))


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("seed", range(2))
def test_sound_weights_are_left_alone(tmp_path: Path, name: str, seed: int) -> None:
    """Of each shape and form that models have them in."""
    import torch

    made = SOUND[name](torch.Generator().manual_seed(seed))
    found = [one for key, tensor in made.items() for one in findings(tmp_path, tensor, key)]

    assert [one for one in found if "bytes" in one or "beyond" in one] == []


DTYPES = ("bfloat16", "float16", "float32", "int8", "float8_e4m3fn")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [4 * KIB, 256 * KIB])
@pytest.mark.parametrize("at", [0, 4096, 12345, 70000])
def test_zeros_are_seen(tmp_path: Path, dtype: str, size: int, at: int) -> None:
    """Aligned or not, in every form; with the first element of it."""
    tensor = bell(dtype)
    raw_of(tensor)[at : at + size] = 0

    (finding,) = findings(tmp_path, tensor)

    first = -(-at // tensor.element_size())
    assert finding.startswith(f"warning {NAME}: ")
    assert finding.split(" to ")[0].endswith(f"{[first // 1000, first % 1000]}") or "are all zero" in finding
    assert "are all zero: compare the file's digest" in finding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("at", [300000, 303104])
def test_a_block_that_is_there_twice_is_seen(tmp_path: Path, dtype: str, at: int) -> None:
    """As when a part of a download is written at the place of another."""
    tensor = bell(dtype)
    raw = raw_of(tensor)
    raw[at : at + 64 * KIB] = raw[at - 4096 * 50 :][: 64 * KIB].copy()

    (finding,) = findings(tmp_path, tensor)

    assert "are the same as those from [" in finding
    assert 64 * KIB <= int(finding.split(" bytes")[0].split()[-1]) < 64 * KIB + 8  # as much as happens to go on alike


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [64, 4 * KIB, 64 * KIB])
def test_arbitrary_bytes_are_seen(tmp_path: Path, dtype: str, size: int) -> None:
    """In floats by NaN or by a size that no weight has; in codes by how often each is used."""
    tensor = bell(dtype)
    raw_of(tensor)[12345 - 12345 % 4 :][:size] = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    if size == 64 and tensor.element_size() == 1:
        return  # codes of any value are codes

    found = findings(tmp_path, tensor)

    assert any("NaN or infinity" in one or "beyond all others" in one or "equally frequent" in one for one in found)


@pytest.mark.parametrize(("dtype", "bit"), [("bfloat16", 14), ("float16", 14), ("float32", 30)])
@pytest.mark.parametrize("shape", [(400, 1000), (1000,), (3, 40, 100)])
def test_a_flipped_bit_of_an_exponent_is_seen(tmp_path: Path, dtype: str, bit: int, shape: tuple[int, ...]) -> None:
    """The highest one, of one element; the others make it vanish, or are within what weights are."""
    import torch

    tensor = bell(dtype)[:400].reshape(-1)[: int(np.prod(shape))].reshape(shape).clone()
    words = tensor.view(torch.int32 if dtype == "float32" else torch.int16).reshape(-1)
    words[77] ^= 1 << bit

    (finding,) = findings(tmp_path, tensor)

    index = [77] if len(shape) == 1 else [0] * (len(shape) - 1) + [77]
    assert f"warning {NAME}: a number is far beyond all others, first at {index} (they range from " in finding


def test_places_are_right_in_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """However a tensor is cut."""
    monkeypatch.setattr("npu_conformance.audit.statistics._CHUNK", 50_000)
    tensor = bell("float32")
    tensor[333, 444] = 1e30

    assert measure(tensor, NAME, "F32", None).outlier == (333, 444)


def test_empty_and_equal_rows_are_not_damage(tmp_path: Path) -> None:
    """Rows of an embedding that no token uses, heads that were repeated."""
    tensor = bell("bfloat16")
    tensor[20:40] = 0
    assert findings(tmp_path, tensor) == []
    assert findings(tmp_path, tensor, "model.embed_tokens.weight") == []
    rows = bell("bfloat16", 512, 1024)
    rows[64:128] = rows[:64].clone()
    assert findings(tmp_path, rows) == []


@settings(max_examples=60, deadline=2000)
@given(
    size=st.integers(8 * PIECE, 64 * PIECE),
    at=st.integers(0, 60 * PIECE),
    length=st.integers(3 * PIECE, 20 * PIECE),
    row=st.sampled_from([96, 1000, 1024, 4096]),
)
def test_any_run_of_zeros_is_seen_to_the_byte(size: int, at: int, length: int, row: int) -> None:
    """Wherever it begins and ends, unless nothing else is there; and nothing else is seen."""
    raw = np.random.default_rng(size).integers(1, 256, size, dtype=np.uint8)
    assert find_damage(raw, row, codes=False) == []
    raw[at : at + length] = 0
    start, stop = at, min(at + length, size)

    found = find_damage(raw, row, codes=False)

    seen = stop - start >= 3 * PIECE and stop <= size // PIECE * PIECE
    if seen and stop - start < size and (start % row or stop % row):
        assert [(one.what, one.start, one.stop) for one in found] == [("zeros", start, stop)]
