"""A floor run is measured where it is computed: the same as its rows would give, and each sequence once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.reference import floor, loaded, scoring
from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.measure.columns import HASHES, METRICS, columns_of
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.measure.stored import read_stored, write_stored
from npu_conformance.traces.rows import storage_of, unpack
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.scorer_job import FloorJob, ScorerJob
from tests.unit.helpers.small_traces import write_trace

TOKENS = [(4, 5, 6), (7, 8), (9, 10, 11, 12)]
PROMPTS = [(1, 2, 3), (1, 2, 4), (1, 2, 5)]  # as `write_trace` has them


def silent(*_: object) -> None:
    """No progress."""


@pytest.fixture
def common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What every job of a tiny Qwen3 says."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0,
    )  # fmt: skip

    def load_model(_checkpoint: Path, dtype: str, attention: str, **_: Any) -> Any:
        torch.manual_seed(0)
        config._attn_implementation = attention
        return Qwen3ForCausalLM(config).to(getattr(torch, dtype)).eval()

    monkeypatch.setattr(loaded, "load_model", load_model)
    return {"checkpoint": tmp_path / "model", "checkpoint_digest": "d", "cache": tmp_path / "cache"}


def scored(common: dict[str, Any], folder: Path, dtype: str, attention: str) -> list[np.ndarray]:
    """Rows of each sequence."""
    job = ScorerJob(**common, output=folder / "unused", dtype=dtype, attn_implementation=attention)
    entries = Scorer(job, silent).rows(list(zip(PROMPTS, TOKENS, strict=True)), adapted=True)
    return [unpack(np.load(entry), storage_of(np.load(entry))) for entry in entries]


@pytest.fixture
def job(common: dict[str, Any], tmp_path: Path) -> FloorJob:
    """A floor run in bfloat16 beside its reference."""
    (tmp_path / "cache").mkdir()
    exact = scored(common, tmp_path, "float32", "sdpa")
    folder = write_trace(tmp_path / "base" / "reference", exact, tokens=TOKENS)
    text = (folder / "trace.json").read_text()
    (folder / "trace.json").write_text(
        text.replace('"provenance": {', '"provenance": {"setting": {"dtype": "float32"},')
    )
    return FloorJob(
        **common,
        output=tmp_path / "base" / FLOOR / "eager.npz",
        dtype="bfloat16",
        attn_implementation="eager",
        reference=folder,
    )


def test_it_is_what_its_rows_would_give(job: FloorJob, common: dict[str, Any], tmp_path: Path) -> None:
    """At every position, to the last bit; and rounding does cost something."""
    floor.run(job, silent)

    found = load_floor(tmp_path / "base")
    assert found is not None
    reference = load_trace(job.reference)
    rows = scored(common, tmp_path, "bfloat16", "eager")
    expected = [columns_of(one, reference.logits(index), None) for index, one in enumerate(rows)]
    measured = found.runs["eager"].comparison.values["relative_l2"]
    assert np.array_equal(measured, np.concatenate([one["relative_l2"] for one in expected]))
    assert measured.min() > 1e-5


def test_each_sequence_is_computed_once(job: FloorJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run loads no model; an entry that was damaged is computed again, alone."""
    floor.run(job, silent)
    first = job.output.read_bytes()
    job.output.unlink()
    asked: list[int] = []
    score = scoring.score

    def counted(model: Any, sequences: Any) -> Any:
        asked.append(len(sequences))
        return score(model, sequences)

    monkeypatch.setattr(scoring, "score", counted)
    floor.run(job, silent)
    assert asked == []
    assert read_stored(job.output)[0]["provenance"]["computed"] == 0

    entry = sorted(job.cache.glob("*.npz"))[0]
    entry.write_bytes(entry.read_bytes()[:100])
    floor.run(job, silent)
    assert asked == [1]
    about, _ = read_stored(job.output)
    assert about["provenance"]["computed"] == 1
    assert about["positions"] == [3, 2, 4]
    assert len(first) == pytest.approx(job.output.stat().st_size, rel=0.01)


def test_a_figure_of_a_metric_that_entries_lack_is_measured(job: FloorJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else entries of before would be joined with others that have it."""
    with monkeypatch.context() as before:
        before.setattr(floor, "METRICS", METRICS[:-1])
        floor.run(job, silent)
    job.output.unlink()
    floor.run(job, silent)
    assert read_stored(job.output)[0]["provenance"]["computed"] == 3


def test_an_entry_without_hashes_is_measured_again(job: FloorJob) -> None:
    """Entries of before have none, and are not joined with others."""
    floor.run(job, silent)
    entry = sorted(job.cache.glob("*.npz"))[0]
    about, arrays = read_stored(entry)
    del arrays[HASHES]
    with entry.open("wb") as file:
        write_stored(file, about, arrays)
    job.output.unlink()
    floor.run(job, silent)
    assert read_stored(job.output)[0]["provenance"]["computed"] == 1
