"""A comparison that is kept in place of rows is the same as the one they gave."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.kept import compare_or_load, load_comparison, save_comparison
from npu_conformance.traces.trace import drop_rows
from tests.unit.helpers.small_traces import logits, moved, pair_of


def same(one: object, other: object, kind: type) -> None:
    """Every field."""
    for field in fields(kind):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, Deviations):
            same(mine, theirs, Deviations)
        elif isinstance(mine, dict):
            assert mine.keys() == theirs.keys()
            assert all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine)
        elif isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")
        else:
            assert mine == theirs


def test_a_comparison_comes_back_as_it_was(tmp_path: Path) -> None:
    """Also one with a row that is not finite."""
    exact = logits(3, 7)
    mine = [moved(one, 1e-3, seed) for seed, one in enumerate(exact)]
    mine[1][2, 4] = np.nan
    found = pair_of(tmp_path, mine, exact).comparison
    save_comparison(tmp_path / "kept" / "reference.npz", found)

    same(load_comparison(tmp_path / "kept" / "reference.npz"), found, Comparison)


def test_rows_go_before_what_was_kept(tmp_path: Path) -> None:
    """Only where they are gone is the file read."""
    exact = logits(2, 5)
    pair = pair_of(tmp_path, [moved(one, 1e-3) for one in exact], exact)
    kept = tmp_path / "kept" / "reference.npz"
    assert len(compare_or_load(pair.candidate, pair.reference, kept)) == 10

    save_comparison(kept, pair.comparison)
    taken = drop_rows(pair.candidate.folder)
    assert taken > exact[0].nbytes + exact[1].nbytes
    same(compare_or_load(pair.candidate, pair.reference, kept), pair.comparison, Comparison)

    kept.unlink()
    with pytest.raises(TraceError, match=r"reference\.npz: cannot be read"):
        compare_or_load(pair.candidate, pair.reference, kept)


def test_what_the_cache_keeps_is_not_freed(tmp_path: Path) -> None:
    """A reference's rows are links: the disk has no more room without them."""
    rows = logits(2, 5)
    folder = pair_of(tmp_path, rows, rows).reference.folder
    (tmp_path / "entry.npy").hardlink_to(folder / "0001.npy")
    size = (folder / "0000.npy").stat().st_size

    assert drop_rows(folder) == size
    assert [path.name for path in folder.glob("*.npy")] == []
