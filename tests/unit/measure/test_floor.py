"""Floor runs are kept as what they deviate, which is what comparing their rows would give."""

from pathlib import Path

import numpy as np
import pytest

from npu_conformance.errors import TraceError
from npu_conformance.measure import stored
from npu_conformance.measure.columns import METRICS
from npu_conformance.measure.compare import compare
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.measure.topk import fewer, likeliest, topk
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.small_traces import EOS, logits, moved, tokens_of, write_floor, write_trace


@pytest.fixture
def exact(tmp_path: Path) -> list[Rows]:
    """A reference of three prompts, the second of which ends after four of its tokens."""
    rows = logits(3, 9)
    rows[1][3, EOS] = 20
    write_trace(tmp_path / "reference", rows, tokens=tokens_of(rows))
    return rows


def test_what_is_kept_is_what_rows_would_give(tmp_path: Path, exact: list[Rows]) -> None:
    """At the judged positions; to the last bit."""
    rows = [moved(one, 4e-3, seed) for seed, one in enumerate(exact)]
    write_floor(tmp_path, "sdpa", rows)
    write_trace(tmp_path / "rows", rows, tokens=tokens_of(exact))
    found = compare(load_trace(tmp_path / "rows"), load_trace(tmp_path / "reference"))

    floor = load_floor(tmp_path)
    assert floor is not None
    (run,) = floor.runs.values()
    assert len(run.comparison) == 9 + 4 + 9
    assert run.comparison.bounds == found.bounds
    for name, values in found.values.items():
        assert np.array_equal(run.comparison.values[name], values)
    assert np.array_equal(floor.floor_runs["sdpa"].row, found.deviations.row)
    assert np.array_equal(floor.floor_runs["sdpa"].difference, found.deviations.difference)


def test_fewer_words_are_the_same_as_asking_for_few(tmp_path: Path, exact: list[Rows]) -> None:
    """A baseline that must be small takes a part of what was kept."""
    rows = [moved(one, 4e-3, seed) for seed, one in enumerate(exact)]
    write_floor(tmp_path, "sdpa", rows)
    floor = load_floor(tmp_path)
    assert floor is not None
    expected = topk(rows[0], likeliest(exact[0], 5))
    found = fewer(floor.runs["sdpa"].topk, 5)

    assert np.allclose(found.log_probs[:9], expected.log_probs, rtol=1e-12)
    assert np.allclose(found.tail[:9], expected.tail, rtol=1e-6)
    assert np.array_equal(found.choices[:9], expected.choices)


def test_a_floor_run_of_other_tokens_is_refused(tmp_path: Path, exact: list[Rows]) -> None:
    """It would shift every position."""
    write_floor(tmp_path, "sdpa", exact)
    write_trace(tmp_path / "other" / "reference", logits(3, 8))
    (tmp_path / "other" / FLOOR).mkdir()
    (tmp_path / FLOOR / "sdpa.npz").rename(tmp_path / "other" / FLOOR / "sdpa.npz")

    with pytest.raises(TraceError, match=r"sdpa\.npz: is not of the same prompts and tokens as the reference"):
        load_floor(tmp_path / "other")


def test_a_floor_run_that_overflows_is_refused(tmp_path: Path, exact: list[Rows]) -> None:
    """By name, with what to do."""
    rows = [one.copy() for one in exact]
    rows[2][1, 3] = np.inf
    write_floor(tmp_path, "eager", rows)
    floor = load_floor(tmp_path)
    assert floor is not None

    with pytest.raises(TraceError, match=r"floor run eager: 1 positions .* try another reference\.attn_implementation"):
        _ = floor.floor_runs


def test_damaged_and_older_files_are_refused(
    tmp_path: Path, exact: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with what to do."""
    write_floor(tmp_path, "sdpa", exact)
    monkeypatch.setattr(stored, "METRICS_VERSION", 99)
    with pytest.raises(TraceError, match=r"measured by version 3 of the metrics, this is version 99; run the model"):
        load_floor(tmp_path)
    monkeypatch.undo()

    monkeypatch.setattr(stored, "METRICS", (*METRICS, "another"))
    with pytest.raises(TraceError, match=r"has the metrics .'top5', .*, this version has .* 'another'\]; run the"):
        load_floor(tmp_path)
    monkeypatch.undo()

    path = tmp_path / FLOOR / "sdpa.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TraceError, match=r"sdpa\.npz: cannot be read: .*; run the model again"):
        load_floor(tmp_path)
