"""The reference's jobs: under one lock, and with a cache that they leave within its limit."""

import os
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from filelock import FileLock, Timeout

from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import ConfigError
from npu_conformance.run import references
from npu_conformance.run.made_by import cached_at
from npu_conformance.run.references import References
from npu_conformance.run.schedule import passes
from npu_conformance.run.settings import Settings
from npu_conformance.traces.module_states import ModuleStates, save_module_states
from npu_conformance.workers.job import SeriesJob
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.scorer_job import ReferenceJob
from tests.unit.helpers.small_traces import logits, write_trace

RUNS = passes(ModelConfig.model_validate({"model": "a/b"}), ("base",))[0].runs


class Workers:
    """Keep the job, and see whether the lock is held meanwhile."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.narrator = SimpleNamespace(say=self.said.append)
        self.jobs: tuple[Any, ...] = ()
        self.locked = False

    def on_the_host(self) -> dict[str, str]:
        """Nothing of its own."""
        return {}

    def run(self, job: SeriesJob, _name: str, _deadline: float, **_more: Any) -> None:
        """As `Jobs` does it."""
        self.jobs = job.jobs
        place = cached_at("references", "weights")
        lock = FileLock(place.with_name(f"{place.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.locked = True


def made(tmp_path: Path, workers: Workers) -> References:
    """The references of a bfloat16 model whose base was captured."""
    if not (tmp_path / "base").is_dir():
        write_trace(tmp_path / "base" / "candidate", logits(prompts=1, steps=2))
    same = SimpleNamespace(folder=tmp_path)
    prepared = SimpleNamespace(reference=same, candidate=same, adapter=None, quantised=False)
    return References(
        ModelConfig.model_validate({"model": "a/b"}),
        Subject("Model", "real", tmp_path, tmp_path),
        cast(Any, prepared),
        Settings(configs=tmp_path, deadline=10),
        cast(Jobs, workers),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one entry of long ago."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NPU_CONFORMANCE_CACHE_LIMIT", raising=False)
    monkeypatch.setattr(references, "folder_digest", lambda _folder: "weights")
    entry = cached_at("references", "others") / "old.npz"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"x" * 1000)
    os.utime(entry, (1, 1))
    return entry


def test_nobody_else_computes_the_same_meanwhile(tmp_path: Path) -> None:
    """The reference comes first, then the floor runs, all in the folder of these weights."""
    workers = Workers()
    made(tmp_path, workers).score(tmp_path / "base", RUNS)

    exact, *floor = cast(tuple[ReferenceJob, ...], workers.jobs)
    assert exact.output == tmp_path / "base" / "reference"
    assert len(floor) > 2
    assert {run.cache for run in (exact, *floor)} == {cached_at("references", "weights")}
    assert workers.locked


def test_a_pass_loads_a_model_once_for_each_dtype_and_attention(tmp_path: Path) -> None:
    """A process keeps the last model it loaded: jobs that want the same follow one another, modules too."""
    workers = Workers()
    references = made(tmp_path, workers)
    states = ModuleStates((1, 2), {}, {})
    save_module_states(tmp_path / "base" / "candidate", 0, states)
    references.score(tmp_path / "base", RUNS)

    loads = [load for load, _ in groupby((job.dtype, job.attn_implementation) for job in workers.jobs)]
    assert loads == [("float32", "sdpa"), ("bfloat16", "sdpa"), ("bfloat16", "eager")]
    assert sorted(job.kind for job in workers.jobs) == ["floor"] * 4 + ["modules", "reference"]


def test_floor_runs_of_a_quantised_candidate_have_its_codes(tmp_path: Path) -> None:
    """From its own folder, with inputs quantised; the reference has neither."""
    workers, codes = Workers(), tmp_path / "codes"
    same = made(tmp_path, workers)
    same._prepared = cast(
        Any,
        SimpleNamespace(
            reference=SimpleNamespace(folder=tmp_path),
            candidate=SimpleNamespace(folder=codes),
            adapter=None,
            quantised=True,
        ),
    )
    runs = passes(ModelConfig.model_validate({"model": "a/b"}), ("base",), quantised=True)[0].runs
    same.score(tmp_path / "base", runs)

    exact, *floor = cast(tuple[ReferenceJob, ...], workers.jobs)
    assert (exact.checkpoint, exact.quantised) == (tmp_path, False)
    assert {(one.checkpoint, one.quantised) for one in floor} == {(codes, True)}
    assert floor[-1].output == tmp_path / "base" / "quantised" / "float32.npz"


def test_the_cache_is_kept_within_its_limit(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the reference has been computed; and it is said what went."""
    workers = Workers()
    made(tmp_path, workers).score(tmp_path / "base", RUNS)
    assert cache.is_file()
    assert workers.said == []

    monkeypatch.setenv("NPU_CONFORMANCE_CACHE_LIMIT", "0.5KB")
    made(tmp_path, workers).score(tmp_path / "base", RUNS)

    assert not cache.exists()
    assert workers.said == [
        "The cache's references took more than 500 B (NPU_CONFORMANCE_CACHE_LIMIT). Removed the least recently used: "
        "1.0 KB"
    ]


def test_a_limit_that_is_no_size_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable's name."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE_LIMIT", "lots")

    with pytest.raises(ConfigError, match="NPU_CONFORMANCE_CACHE_LIMIT: 'lots' is not a size"):
        made(tmp_path, Workers())
