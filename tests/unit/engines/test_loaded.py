"""A process loads a model once for jobs in turn that want the same, and holds no two."""

import weakref
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.engines.reference import loaded
from npu_conformance.errors import CheckpointError
from npu_conformance.workers.scorer_job import ScorerJob


class Model:
    """One that says what it was made of."""

    def __init__(self, *made_of: str) -> None:
        self.made_of = made_of


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was loaded and merged, in turn; no model was there any more when another was loaded."""
    told: list[str] = []
    alive: weakref.WeakSet[Model] = weakref.WeakSet()

    def load_model(_checkpoint: Path, dtype: str, attention: str, **_: Any) -> Model:
        assert not alive
        told.append(f"{dtype} {attention}")
        model = Model(dtype, attention)
        alive.add(model)
        return model

    def merge_adapter(model: Model, adapter: Path) -> Model:
        told.append(adapter.name)
        if adapter.name == "of another model":
            raise CheckpointError("it does not fit")
        merged = Model(*model.made_of, adapter.name)
        alive.discard(model)
        alive.add(merged)
        return merged

    monkeypatch.setattr(loaded, "load_model", load_model)
    monkeypatch.setattr(loaded, "merge_adapter", merge_adapter)
    monkeypatch.setattr(loaded, "_last", [])
    return told


def model_of(job: ScorerJob, *, adapted: bool = True) -> tuple[str, ...]:
    """What a job's model is made of."""
    made_of: tuple[str, ...] = loaded.loaded(job, lambda *_: None, adapted=adapted).made_of
    return made_of


def job(**changes: Any) -> ScorerJob:
    """A job of a reference."""
    told = {"output": "out", "checkpoint": "model", "checkpoint_digest": "d", "cache": "cache", "dtype": "bfloat16"}
    return ScorerJob.model_validate(told | {"attn_implementation": "sdpa"} | changes)


def test_jobs_of_one_model_load_it_once(made: list[str]) -> None:
    """Noise is put on what a layer is given, not into the weights."""
    for dither in (None, 1, 2):
        assert model_of(job(dither=dither)) == ("bfloat16", "sdpa")
    assert made == ["bfloat16 sdpa"]


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float32"},
        {"attn_implementation": "eager"},
        {"quantised": True},
        {"checkpoint": "other"},
        {"checkpoint_digest": "changed"},
        {"trust_remote_code": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_model_is_loaded_when_the_first_is_gone(made: list[str], changes: dict[str, Any]) -> None:
    """Two may be more than there is memory for."""
    model_of(job())
    model_of(job(**changes))
    assert len(made) == 2


def test_a_lora_is_merged_once_and_never_answers_for_the_model_without(made: list[str]) -> None:
    """It is merged for good."""
    lora = job(adapter="lora", adapter_digest="l")
    assert model_of(lora, adapted=False) == ("bfloat16", "sdpa")
    assert model_of(lora) == model_of(lora) == ("bfloat16", "sdpa", "lora")
    assert made == ["bfloat16 sdpa", "lora"]

    assert model_of(lora, adapted=False) == ("bfloat16", "sdpa")
    assert made == ["bfloat16 sdpa", "lora", "bfloat16 sdpa"]


def test_a_lora_that_does_not_fit_leaves_nothing(made: list[str]) -> None:
    """The model may be half changed."""
    with pytest.raises(CheckpointError):
        model_of(job(adapter="of another model", adapter_digest="l"))
    assert model_of(job()) == ("bfloat16", "sdpa")
    assert made == ["bfloat16 sdpa", "of another model", "bfloat16 sdpa"]
