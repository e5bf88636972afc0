"""How long jobs may take: what is said, else the usual, and more where a forecast or the weights' size asks for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.limits import Dtype
from npu_conformance.config.model import ModelConfig
from npu_conformance.run import cost, deadlines, preparation
from npu_conformance.run.deadlines import reading_deadline, reference_deadline
from npu_conformance.run.references import References
from npu_conformance.run.schedule import passes
from npu_conformance.run.settings import Settings
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.small_traces import logits, write_trace
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write
from tests.unit.run.test_cost import checkpoint


class Noted:
    """Jobs that are not run."""

    def __init__(self) -> None:
        self.deadlines: dict[str, float] = {}
        self.jobs: list[Any] = []
        self.narrator = Narrator()

    def on_the_host(self) -> dict[str, str]:
        """Nothing of its own."""
        return {}

    def run(self, job: Any, name: str, deadline: float, **__: object) -> None:
        """Keep the job and its deadline."""
        self.jobs.append(job)
        self.deadlines[name.partition(": ")[2]] = deadline


@pytest.mark.parametrize(
    ("native", "dtypes", "expected"),
    [
        (True, ["float32", "bfloat16"], 10_000),
        (False, ["float32"], 10_000),
        (False, ["float32", "bfloat16"], 40_000),
        (False, ["float16"], 40_000),
    ],
)
def test_a_references_deadline_follows_its_forecast(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtypes: list[Dtype], expected: float
) -> None:
    """With room for a slow machine, and for one that has no bfloat16 where that is computed."""
    monkeypatch.setattr(deadlines, "computes_in", lambda dtype: native or dtype == "float32")

    assert reference_deadline(1000, dtypes) == expected
    assert reference_deadline(1, dtypes) == 1800


def test_readings_deadline_follows_the_weights() -> None:
    """An hour is enough for some 60 GB, and for nothing like a terabyte."""
    assert reading_deadline(10 * 2**30) == 3600
    assert reading_deadline(2**40) == 2**16


@pytest.mark.parametrize(
    ("config", "option", "expected"), [({}, None, 72_000), ({"deadline": 77}, None, 77), ({"deadline": 77}, 5.0, 5)]
)
def test_what_is_said_goes_before_a_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], option: float | None, expected: float
) -> None:
    """A model that takes hours on this machine is not ended after half of one, unless somebody says so."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    # 36 tokens of 10^9 parameters: 7,200 s, and ten times as many.
    monkeypatch.setattr(cost, "matmul_rate", lambda: 1e7)
    monkeypatch.setattr(deadlines, "computes_in", lambda _: True)
    (tmp_path / "config.json").write_text("{}")
    weights = checkpoint(10**9)
    object.__setattr__(weights, "folder", tmp_path)
    write_trace(tmp_path / "base" / "candidate", logits(3, 9))
    noted = Noted()
    model = ModelConfig.model_validate({"model": "a/b", **config})
    references = References(
        model,
        Subject("Model", "real", tmp_path, tmp_path),
        cast(Any, SimpleNamespace(reference=weights, candidate=weights, adapter=None, quantised=False)),
        Settings(configs=tmp_path, deadline=option),
        cast(Jobs, noted),
    )
    references.score(tmp_path / "base", passes(model, ("base",))[0].runs)
    (series,) = noted.jobs
    assert [job.output.name for job in series.jobs if job.kind == "reference"] == ["reference"]
    assert len(series.jobs) > 1

    assert noted.deadlines["reference"] == pytest.approx(expected, rel=0.01)


def test_scans_are_given_time_by_the_bytes_they_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a large model's is not ended after an hour."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(preparation, "weight_bytes", lambda _: 2**40)
    folder, noted = write(tmp_path / "model", LLAMA, llama()), Noted()
    config = ModelConfig.model_validate({"model": "a/b"})

    with pytest.raises(FileNotFoundError):  # nothing was scanned
        preparation.prepare(config, Subject("Model", "real", folder, folder), (), tmp_path, cast(Jobs, noted))
    assert noted.deadlines == {"reading weights": 2**16}
