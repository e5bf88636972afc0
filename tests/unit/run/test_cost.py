"""What a reference will cost, and that what cannot fit is refused with the figure."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from npu_conformance.checkpoints.inspect import Checkpoint, Tensor
from npu_conformance.engines.reference.scoring import batches
from npu_conformance.errors import PlanError
from npu_conformance.machine.capacity import free_disk
from npu_conformance.run import cost
from npu_conformance.run.cost import matmul_rate, reference_cost, refuse_what_cannot_fit

GIB = 2**30


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
    wide, narrow = (reference_cost(checkpoint(10**9), [(20, 48)], width) for width in (4, 2))

    assert wide.memory - narrow.memory == pytest.approx(1.15 * 2 * 10**9)
    assert wide.disk == 2 * narrow.disk > 0


def test_the_rate_is_measured_on_the_threads_that_a_reference_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascend's images set one; a forecast by it is far too long on a host of 192 cores."""
    together = threading.Barrier(3, timeout=10)  # broken where the products do not run at once

    class Square:
        def __matmul__(self, other: object) -> int:
            return together.wait()

    monkeypatch.setattr(cost, "host_cores", lambda: 3)
    monkeypatch.setattr(np, "ones", lambda *_, **__: Square())
    assert matmul_rate.__wrapped__() > 0
