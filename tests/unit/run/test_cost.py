"""What a reference will cost, and that what cannot fit is refused with the figure."""

import dataclasses
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.inspect import Checkpoint, Tensor
from npu_conformance.config.limits import Dtype
from npu_conformance.engines.reference.scoring import batches
from npu_conformance.errors import PlanError
from npu_conformance.machine.capacity import free_disk
from npu_conformance.run import cost
from npu_conformance.run.cost import STARTING, matmul_rate, operations, reference_cost, refuse_what_cannot_fit
from tests.unit.helpers.tiny_checkpoints import LLAMA

GIB = 2**30
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


def checkpoint(parameters: int) -> Checkpoint:
    """One large tensor of a model with a real vocabulary."""
    tensors = {"weight": Tensor((parameters,), "BF16", Path("model.safetensors"))}
    return Checkpoint(Path("model"), {"vocab_size": 151_936}, tensors)


def test_the_cost_grows_with_what_makes_it() -> None:
    """Memory with the parameters, disk with positions times vocabulary, time with tokens."""
    small, large = (reference_cost(checkpoint(size), [(20, 48)] * 40) for size in (10**9, 4 * 10**9))

    # A batch of thirty sequences has 1,440 positions of 151,936 words, held twice.
    assert 6 * 10**9 < small.memory < 8 * 10**9
    assert 16 * GIB < large.memory < 21 * GIB
    assert large.disk == 40 * 48 * 151_936 * 4
    assert large.seconds > small.seconds
    assert "40 sequences in one pass each, at most 1" in str(large)


def test_a_model_larger_than_memory_is_refused_with_the_figure(tmp_path: Path) -> None:
    """Before anything is loaded."""
    with pytest.raises(PlanError, match=r"needs 42\d\d\.\d GiB of memory, .* GiB are free here"):
        refuse_what_cannot_fit(reference_cost(checkpoint(10**12), [(1, 1)]), tmp_path)


def test_logits_larger_than_the_disk_are_refused_with_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that has nothing left."""
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))

    with pytest.raises(PlanError, match=r"logits need .* GiB in .* GiB are free: .*NPU_CONFORMANCE_CACHE"):
        refuse_what_cannot_fit(reference_cost(checkpoint(10), [(1, 48)] * 3), tmp_path)


def test_batches_hold_every_sequence_once_and_little_padding() -> None:
    """Longest first; at most a quarter of the longest is padding, at most 2,048 tokens a batch."""
    lengths = [5, 900, 40, 41, 39, 700, 2500, 6, 38, 1000]
    found = list(batches(lengths))

    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[index] for index in batch)
        assert all(lengths[index] >= 0.75 * longest for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= 2048


def test_holding_a_cost_against_a_folder_that_is_not_there_makes_none(tmp_path: Path) -> None:
    """The disk is that of the nearest folder above it."""
    refuse_what_cannot_fit(reference_cost(checkpoint(10), [(1, 1)]), tmp_path / "cache" / "references")

    assert free_disk(tmp_path / "cache" / "references") > 0
    assert list(tmp_path.iterdir()) == []


def test_a_reference_in_a_narrower_dtype_holds_narrower_weights() -> None:
    """And narrower logits, which are kept in the width that is exact."""
    wide, narrow = (reference_cost(checkpoint(10**9), [(20, 48)], dtype) for dtype in DTYPES)

    assert wide.memory - narrow.memory == pytest.approx(1.15 * 2 * 10**9)
    assert wide.disk == 2 * narrow.disk > 0


def test_a_reference_in_float64_takes_twice_the_memory_and_time() -> None:
    """And keeps its logits in float32."""
    usual, wide = (
        reference_cost(checkpoint(10**9), [(20, 48)], dtype, follows=True) for dtype in ("float32", "float64")
    )

    assert wide.memory - usual.memory == pytest.approx(1.15 * 4 * 10**9)
    assert usual.seconds < wide.seconds <= 2 * usual.seconds
    assert wide.disk == usual.disk


def test_the_rate_is_measured_on_the_threads_that_a_reference_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascend's images set one; a forecast by it is far too long on a host of 192 cores."""
    together = threading.Barrier(3, timeout=10)  # broken where the products do not run at once

    class Square:
        def __matmul__(self, other: object) -> int:
            return together.wait()

    monkeypatch.setattr(cost, "host_cores", lambda: 3)
    monkeypatch.setattr(np, "ones", lambda *_, **__: Square())
    assert matmul_rate.__wrapped__() > 0


def test_the_rate_does_not_fall_while_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the processor's time that counts, not the clock's, and the fastest product."""
    used = iter([0.0, 9.0, 9.0, 10.0, 10.0, 18.0, 18.0, 25.0, 25.0, 30.0])
    monkeypatch.setattr(cost, "host_cores", lambda: 2)
    monkeypatch.setattr("time.process_time", lambda: next(used))

    # A second of two cores at most: half of it each for a product of 2 x 1024^3.
    assert matmul_rate.__wrapped__() == pytest.approx(2 * 2 * 1024**3 / 0.5)


def shaped(config: dict[str, int], **sizes: int) -> Checkpoint:
    """Tensors of so many weights."""
    file = Path("model.safetensors")
    return Checkpoint(Path("m"), config, {name: Tensor((size,), "BF16", file) for name, size in sizes.items()})


def test_a_head_works_where_rows_are_kept() -> None:
    """An embedding of its own is looked up, one that is the head too is multiplied by."""
    config = {"vocab_size": 100, "hidden_size": 10}
    tied = shaped(config, embed=1000, body=5000)
    untied = shaped(config, embed=1000, body=5000, **{"lm_head.weight": 1000})

    assert operations(tied, 7, 3) == operations(untied, 7, 3) == 2 * (7 * 5000 + 3 * 1000)


def test_of_experts_those_count_that_see_a_token() -> None:
    """Two of eight."""
    sparse = shaped({"num_experts": 8, "num_experts_per_tok": 2}, body=500, **{"layers.0.experts.0.up": 8000})

    assert operations(sparse, 10, 0) == 2 * 10 * (500 + 2000)


@pytest.mark.parametrize(("native", "share"), [(True, 0.5), (False, 1.0)])
def test_a_floor_run_takes_half_the_time_where_the_processor_has_its_dtype(
    monkeypatch: pytest.MonkeyPatch, native: bool, share: float
) -> None:
    """Else its products are computed in float32; one that follows another imports nothing."""
    monkeypatch.setattr(cost, "computes_in", lambda _: native)
    monkeypatch.setattr(cost, "matmul_rate", lambda: 1e9)
    wide, narrow = (reference_cost(checkpoint(10**9), [(20, 48)], dtype) for dtype in DTYPES)
    read = 2e9 / GIB

    assert wide.seconds == pytest.approx(STARTING + read + 2 * 68)
    assert narrow.seconds == pytest.approx(STARTING + read + 2 * 68 * share)
    follows = reference_cost(checkpoint(10**9), [(20, 48)], follows=True)
    assert wide.seconds - follows.seconds == pytest.approx(STARTING)


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "num_experts", "num_experts_per_tok"])
@pytest.mark.parametrize("value", [None, [2, 4]])
def test_sizes_that_are_null_or_one_a_layer_are_counted(tmp_path: Path, key: str, value: Any) -> None:
    """A plan is made of what the config says, and breaks on none of it."""
    checkpoint = Checkpoint(tmp_path, LLAMA | {"num_experts": 4, "num_experts_per_tok": 2} | {key: value}, {})

    assert checkpoint.experts == (0 if (key, value) == ("num_experts", None) else 4)
    assert operations(dataclasses.replace(checkpoint, tensors={"x": Tensor((8,), "F32", tmp_path)}), 3, 1) >= 0
