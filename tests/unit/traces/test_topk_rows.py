"""Rows of the likeliest words: exact storage, and damage that is seen."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import write_json
from npu_conformance.traces.topk_rows import TopKRows, save_topk
from npu_conformance.traces.trace import FORMAT, load_trace
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.topk_traces import K, of_rows, reduce_trace


def edit(path: Path, **changes: object) -> None:
    """Change what a trace says of itself."""
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def test_what_is_written_is_read_back(scene: Scene, tmp_path: Path) -> None:
    """Bit for bit, whole or in part, NaN included."""
    trace = reduce_trace(scene.folder / "candidate", tmp_path / "few")
    expected, found = of_rows(load_trace(scene.folder / "candidate").logits(2)), trace.topk(2)

    assert (trace.rows, found.words.shape) == ("topk", (200, K))
    for field in dataclasses.fields(TopKRows):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))
        np.testing.assert_array_equal(
            getattr(trace.topk(2, slice(5, 9)), field.name), getattr(expected, field.name)[5:9]
        )
    np.testing.assert_array_equal(found.choices, load_trace(scene.folder / "candidate").answers[2].token_ids)


def test_each_kind_of_rows_is_asked_for_by_its_name(scene: Scene, tmp_path: Path) -> None:
    """Whoever asks for the other is told."""
    few, full = reduce_trace(scene.folder / "candidate", tmp_path / "few"), load_trace(scene.folder / "candidate")

    assert full.rows == "full"
    with pytest.raises(TraceError, match="likeliest words of each position, no whole rows"):
        few.logits(0)
    with pytest.raises(TraceError, match="whole rows of logits, no likeliest words"):
        full.topk(0)


def test_cut_or_missing_rows_are_named(scene: Scene, tmp_path: Path) -> None:
    """A truncated file, one with too few rows, and one that is gone."""
    trace = reduce_trace(scene.folder / "candidate", tmp_path / "few")
    path = trace.folder / "0001.npz"
    whole = path.read_bytes()

    path.write_bytes(whole[:-100])
    with pytest.raises(TraceError, match=r"0001\.npz: cannot be read"):
        trace.topk(1)
    save_topk(trace.folder, 1, trace.topk(0)[:3])
    with pytest.raises(TraceError, match="3 rows, 200 positions expected"):
        trace.topk(1)
    np.savez(path, words=np.zeros((200, 2), dtype=np.int32))
    with pytest.raises(TraceError, match=r"0001\.npz: cannot be read"):
        trace.topk(1)
    path.unlink()
    with pytest.raises(TraceError, match="run the model again"):
        trace.topk(1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: dataclasses.replace(rows, log_probs=rows.log_probs[:, :2]), "need equal"),
        (lambda rows: dataclasses.replace(rows, tail=rows.tail[:, None]), r"tail \(200, 1\)"),
        (lambda rows: dataclasses.replace(rows, words=rows.words * 0), "twice at one position"),
        (lambda rows: dataclasses.replace(rows, words=-rows.words), "a token id is negative"),
        (lambda rows: dataclasses.replace(rows, log_probs=rows.log_probs[:, ::-1]), "not likeliest first"),
        (lambda rows: dataclasses.replace(rows, tail=rows.tail - 1), "no probability"),
    ],
)
def test_rows_that_do_not_fit_together_are_not_written(
    scene: Scene, tmp_path: Path, change: Callable[[TopKRows], TopKRows], why: str
) -> None:
    """Nor read, had another program written them."""
    rows = change(of_rows(load_trace(scene.folder / "candidate").logits(0)))
    trace = reduce_trace(scene.folder / "candidate", tmp_path / "few")

    with pytest.raises(ValueError, match=why):
        save_topk(trace.folder, 0, rows)
    np.savez(trace.folder / "0000.npz", **dataclasses.asdict(rows))
    with pytest.raises(TraceError, match=rf"0000\.npz: .*{why}"):
        trace.topk(0)


@pytest.mark.parametrize("changes", [{"rows": "many"}, {"rows": None}])
def test_another_kind_of_rows_is_no_trace(scene: Scene, changes: dict[str, object]) -> None:
    """It is for a later version."""
    edit(scene.folder / "candidate" / "trace.json", **changes)

    with pytest.raises(TraceError, match=r"trace\.json: rows: "):
        load_trace(scene.folder / "candidate")


def test_traces_from_before_rows_had_kinds_are_refused_by_number(scene: Scene) -> None:
    """They say nothing of their rows."""
    edit(scene.folder / "candidate" / "trace.json", format=FORMAT - 1)

    with pytest.raises(TraceError, match=f"has format {FORMAT - 1}, this version reads {FORMAT}; run the model again"):
        load_trace(scene.folder / "candidate")
