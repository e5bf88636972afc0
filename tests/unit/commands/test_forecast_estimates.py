"""What an engine takes by estimate, what a run takes in all, and what of it does not fit."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.commands.plan.estimate import Load, Take, engine_take
from npu_conformance.commands.plan.forecast import Forecast
from npu_conformance.commands.plan.step import Kind, Step
from npu_conformance.commands.plan.totals import shortages, totals
from npu_conformance.config.model import ModelConfig
from npu_conformance.machine.capacity import GIB
from npu_conformance.run.schedule import Served


def step(kind: Kind = "engine", process: int = 1, **take: float) -> Step:
    """A step that takes nothing but what is said."""
    taken = Take(**{"seconds": 0, "memory": 0, "disk": 0, **take})
    return Step(
        kind=kind, model="M", name="base", about="", take=taken, basis="estimated", process=process, deadline=99
    )


def take(variant: str, load: Load, follows: bool = False, platform: Any = "cpu", **options: Any) -> Take:
    """What a twin's engine takes."""
    config = ModelConfig.model_validate({"model": "a/b", "serve": {"max_model_len": 8192}})
    found = Served(config, load.checkpoint.text_config, load.lengths, "vllm", platform).engine(variant)
    return engine_take(
        load,
        replace(found, options={**found.options, **options}),
        candidate="vllm",
        platform=platform,
        envs={},
        follows=follows,
    )


def weights_of(parameters: int) -> Checkpoint:
    """A model of a thousand words."""
    tensors = {"weights": Tensor((parameters,), "BF16", Path("model.safetensors"))}
    return Checkpoint(Path("model"), {"vocab_size": 1000}, tensors)


@pytest.mark.parametrize(
    ("native", "dtype", "share"),
    [(True, "bfloat16", 2), (False, "bfloat16", 0.09), (False, "float16", 0.04), (False, "float32", 1)],
)
def test_products_take_as_long_as_the_processor_has_instructions_for_them(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str, share: float
) -> None:
    """Eleven and 25 times float32's time where 16 bits are emulated, half of it where they are not."""
    monkeypatch.setattr("npu_conformance.run.cost.computes_in", lambda _: native)
    monkeypatch.setattr("npu_conformance.commands.plan.estimate.matmul_rate", lambda: 1e9)
    small, large = (
        take("async_scheduling", Load(weights_of(size), GIB, ((20, 48),) * 10, 8192), dtype=dtype)
        for size in (10**6, 10**9)
    )

    probes = 2 * (127 + 128 + 129) + 3 * 128 + 6 * 8
    tokens = 10 * (20 + 48) + probes
    assert large.seconds - small.seconds == pytest.approx(2 * (10**9 - 10**6) * tokens / 1e9 / share)


def test_an_engine_makes_a_step_for_each_token_of_its_batch() -> None:
    """Of requests that wait for room as many more."""
    load = Load(weights_of(1), GIB, ((20, 48),) * 10, 8192)
    wide, narrow = (take("async_scheduling", load, max_num_seqs=count) for count in (10, 2))

    assert narrow.seconds - wide.seconds == pytest.approx((240 - 48) * 0.02)


def test_an_engine_takes_what_it_is_asked_for() -> None:
    """Rows by mode, seconds by start, memory by rank."""
    load = Load(weights_of(10**6), weights=GIB, lengths=((20, 48),) * 10, longest=8192)
    base, forced, only = (take(variant, load) for variant in ("base", "async_scheduling", "spec_decode"))
    warm = take("prefix_caching", load, enable_prefix_caching=True)
    adapted = take("base", replace(load, adapted=True))

    # Answers, once more as prefills, and six block-boundary prompts of eight tokens; a row has two bytes a word.
    assert base.disk == (2 * 480 + 48) * 2000
    assert forced.disk == (480 + 48) * 2000
    assert adapted.disk == base.disk + 10 * 2000
    assert warm.disk == forced.disk + 480 * 2000
    assert warm.seconds > forced.seconds
    assert only.disk == only.scratch == 0
    assert base.scratch > forced.scratch
    assert take("base", load, enforce_eager=False).seconds - base.seconds == pytest.approx(40)
    assert base.seconds - take("base", load, follows=True).seconds == pytest.approx(30)
    assert take("base", load, platform="npu").seconds > base.seconds + 40
    assert take("tp2", load, tensor_parallel_size=2).seconds - forced.seconds == pytest.approx(25)
    assert take("tp2", load, tensor_parallel_size=2).memory == pytest.approx(2 * base.memory - GIB)
    assert take("base", load, dtype="float32").disk == 2 * base.disk


def test_totals_are_sums_but_for_what_comes_one_after_another(tmp_path: Path) -> None:
    """Memory and scratch files are freed in between; twins train side by side."""
    steps = (
        step("twin", seconds=10, memory=1, disk=4),
        step("conversion", seconds=1, memory=2, disk=100),
        step(seconds=20, memory=30, disk=5, scratch=7),
        step(seconds=30, memory=40, disk=6, scratch=3),
        step("reference", seconds=3, memory=35, disk=1000),
        step("noise floor", seconds=6, memory=20, disk=2000),
    )
    whole = totals(Forecast(steps, ()), tmp_path / "cache", tmp_path / "reports")

    assert (whole.seconds, whole.memory, whole.cache, whole.reports) == (70, 40, 3104, 18)


def test_logits_are_copied_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a link is not possible they are on both."""
    disks = {"cache": 1, "reports": 2}
    monkeypatch.setattr(
        "npu_conformance.commands.plan.totals.existing",
        lambda folder: SimpleNamespace(stat=lambda: SimpleNamespace(st_dev=disks[folder.name])),
    )
    whole = totals(Forecast((step("reference", disk=1000),), ()), tmp_path / "cache", tmp_path / "reports")

    assert (whole.cache, whole.reports) == (1000, 1000)


def test_a_full_disk_and_a_short_deadline_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache and reports share a disk here, so they are added."""
    run_of = Forecast((step(seconds=100, disk=6 * GIB), step("reference", disk=6 * GIB)), ())
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=10 * GIB))
    found = shortages(run_of, tmp_path / "cache", tmp_path / "reports")

    assert found == [
        "M base (engine): may be ended: takes 100 s, its deadline is 99 s: give it another with --deadline",
        f"the run may not fit: takes 12.0 GiB of the disk of {tmp_path / 'cache'}, 10.0 GiB are free",
    ]
