"""The engines of a made-up model, whose processes only note what they were to run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import JobError
from npu_conformance.machine.devices import Platform
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.settings import Settings
from npu_conformance.workers.job import CandidateJob, Job, SeriesJob
from npu_conformance.workers.jobs import Jobs

OWN = [
    {"name": "small_blocks", "options": {"block_size": 16}},
    {"name": "left_to_vllm", "options": {"enable_prefix_caching": None}},
]


# A block of 128 tokens takes 28 x 2 x 8 heads x 128 x 2 bytes x 128 = 14 MiB: Qwen3-0.6B.
QWEN = {
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
}
LENGTHS = ((20, 48),) * 10


class Processes:
    """Runs jobs: leaves their folders, until one that is to fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.closing_badly: set[str] = set()
        self.ran: list[list[str]] = []
        """Variants by process."""
        self.names: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.deadlines: list[float] = []

    def run(self, job: Job, name: str, deadline: float, *, environment: dict[str, str]) -> None:
        """As `Jobs` does it."""
        assert isinstance(job, CandidateJob | SeriesJob)
        parts = job.jobs if isinstance(job, SeriesJob) else (job,)
        self.ran.append([part.output.parent.name for part in parts])
        self.names.append(name)
        self.environments.append(environment)
        self.deadlines.append(deadline)
        for place, part in enumerate(parts):
            assert isinstance(part, CandidateJob)
            if part.tokens_of is not None:
                assert part.tokens_of.is_dir(), f"{part.output}: is to take what is not there"
            if part.output.parent.name in self.failing:
                raise JobError(f"{name}: the worker was killed by signal SIGKILL", place)
            part.output.mkdir(parents=True)
            if part.output.parent.name in self.closing_badly:
                raise JobError(f"{name}: the worker was killed by signal SIGKILL", place)


def on_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores and much memory, unless `--device` says otherwise; nothing said in the shell."""

    def find(wanted: Platform | None = None) -> tuple[Platform, int]:
        return wanted or "cpu", 4

    monkeypatch.setattr("npu_conformance.run.candidates.find_devices", find)
    monkeypatch.setattr("npu_conformance.run.room.free_memory", lambda: 64 * 2**30)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)


def candidates(
    tmp_path: Path,
    processes: Processes,
    config: dict[str, Any] | None = None,
    kind: str = "real",
    model: dict[str, Any] | None = None,
    **settings: Any,
) -> Candidates:
    """The engines of a model called Model."""
    weights = Checkpoint(tmp_path / "weights", model or QWEN, {})
    prepared = SimpleNamespace(candidate=weights, adapter=None, lengths=LENGTHS)
    return Candidates(
        ModelConfig.model_validate({"model": "a/b", **(config or {})}),
        Subject("Model", cast(Any, kind), tmp_path, tmp_path),
        cast(Any, prepared),
        tmp_path / "traces",
        Settings(configs=tmp_path, **settings),
        cast(Jobs, processes),
    )


def error_of(made: Candidates, variant: str, others: tuple[str, ...] = ()) -> str:
    """What a variant fails with."""
    with pytest.raises(JobError) as caught:
        made.make(variant, others)
    return str(caught.value)
