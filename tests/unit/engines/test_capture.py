"""The capture inside the engine: which rows it writes where, and what it holds open; over a vLLM that is made up."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.vllm.scratch import (
    EXTRA_ARGS_KEY,
    capture_settings,
    read_digests,
    read_given,
    read_places,
    read_rows,
)
from npu_conformance.traces.rows import Rows, row_digest, unpack

CAPTURE = "npu_conformance.engines.vllm.capture"
WORDS = 6


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of vLLM what the capture imports."""
    parts: dict[str, dict[str, Any]] = {
        "vllm": {},
        "vllm.config": {"VllmConfig": object},
        "vllm.distributed": {"get_tensor_model_parallel_rank": lambda: 0},
        "vllm.sampling_params": {"SamplingParams": object},
        "vllm.v1": {},
        "vllm.v1.sample": {},
        "vllm.v1.sample.logits_processor": {"BatchUpdate": object, "LogitsProcessor": object},
        "vllm.v1.sample.logits_processor.builtin": {"process_dict_updates": join},
    }
    for name, attributes in parts.items():
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    # Imported with these, and by nobody else after them.
    monkeypatch.delitem(sys.modules, CAPTURE, raising=False)


def join(requests: dict[int, Any], update: Sequence[Any], new: Callable[..., Any]) -> None:
    """The rows of the batch, all of them new."""
    requests.clear()
    requests.update({row: new(parameters, None, tokens) for row, (parameters, tokens) in enumerate(update)})


@pytest.fixture
def capture(vllm: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: ARG001 (imports from it)
    """A capture of a bfloat16 model."""
    import torch

    from npu_conformance.engines.vllm.capture import LogitsCapture

    monkeypatch.delitem(sys.modules, CAPTURE)
    config: Any = SimpleNamespace(model_config=SimpleNamespace(dtype=torch.bfloat16))
    made = LogitsCapture(config, torch.device("cpu"), False)
    yield made
    if made._files is not None:
        made._files.close()


def generate(capture: Any, scratch: Path, rows: Rows, **more: Any) -> list[Rows]:
    """One request a prompt, two steps long unless told, until all rows [steps, prompts, words] are used; what is left.

    The logits are handed over as vLLM does it; the returned ones are what is sampled from.
    """
    import torch

    scratch.mkdir(exist_ok=True)
    tokens: list[list[int]] = [[] for _ in range(rows.shape[1])]
    told: dict[str, Any] = {"digests_only": False} | {name: more[name] for name in more if name != "forced"}
    wanted = [
        SimpleNamespace(extra_args=capture_settings(scratch, index, 2, forced=forced, **told))
        for index, forced in enumerate(more.get("forced", [None] * len(tokens)))
    ]
    assert all(EXTRA_ARGS_KEY in one.extra_args for one in wanted)
    capture.update_state(list(zip(wanted, tokens, strict=True)))
    left = []
    for step in rows:
        left.append(capture.apply(torch.from_numpy(step.copy())).numpy())
        for taken in tokens:
            taken.append(0)
    return left


@pytest.fixture
def rows() -> Rows:
    """Two steps of two requests; one row is not exact in bfloat16."""
    made = np.arange(4 * WORDS, dtype=np.float32).reshape(2, 2, WORDS)
    made[1, 0, 2] = 1.0000001
    return made


def test_rows_lie_where_they_are_read(capture: Any, tmp_path: Path, rows: Rows) -> None:
    """Of each request and step, also one that the model's dtype cannot hold."""
    left = generate(capture, tmp_path / "run", rows)

    for index in range(2):
        np.testing.assert_array_equal(unpack(*read_rows(tmp_path / "run", index, 2, 2, "bfloat16")), rows[:, index])
        places = read_places(tmp_path / "run", index, 2, 2)
        assert (places["row"].tolist(), places["prefills"].tolist()) == ([index, index], [1, 1])
    np.testing.assert_array_equal(left, rows)


def test_steps_beyond_the_last_are_not_written(capture: Any, tmp_path: Path, rows: Rows) -> None:
    """They would be the next request's."""
    generate(capture, tmp_path / "run", np.concatenate([rows, rows + 100]))

    for index in range(2):
        np.testing.assert_array_equal(unpack(*read_rows(tmp_path / "run", index, 2, 2, "bfloat16")), rows[:, index])


def test_a_forced_row_is_recorded_before_it_is_masked(capture: Any, tmp_path: Path, rows: Rows) -> None:
    """Of the others nothing is changed."""
    left = generate(capture, tmp_path / "run", rows, forced=[[4, 5], None])

    np.testing.assert_array_equal(unpack(*read_rows(tmp_path / "run", 0, 2, 2, "bfloat16")), rows[:, 0])
    assert [step[0].argmax() for step in left] == [4, 5]
    assert all(np.isneginf(step[0]).sum() == WORDS - 1 for step in left)
    np.testing.assert_array_equal([step[1] for step in left], rows[:, 1])


def test_digests_stand_for_rows(capture: Any, tmp_path: Path, rows: Rows) -> None:
    """And the rows are not kept."""
    generate(capture, tmp_path / "run", rows, digests_only=True)

    assert read_digests(tmp_path / "run", 1, 2, 2) == tuple(row_digest(row) for row in rows[:, 1])
    assert (tmp_path / "run" / "narrow").stat().st_size == 0


def test_every_rank_says_what_it_was_given(
    capture: Any, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is masked; one rank writes rows, and says so."""
    generate(capture, tmp_path / "run", rows, by_rank=True, forced=[[4, 5], None])
    for name, value in {"_rank": 1, "_writes": False}.items():
        monkeypatch.setattr(capture, name, value)
    other = rows.copy()
    other[1, 1] += 1
    generate(capture, tmp_path / "run", other, by_rank=True)

    for index, equal in ((0, [True, True]), (1, [True, False])):
        given = read_given(tmp_path / "run", index, 2, 2)
        assert given[0]["digest"].tolist() == [row_digest(row).encode() for row in rows[:, index]]
        assert (given[0]["digest"] == given[1]["digest"]).tolist() == equal
        assert (given[0]["wrote"].tolist(), given[1]["wrote"].tolist()) == ([1, 1], [0, 0])
        np.testing.assert_array_equal(unpack(*read_rows(tmp_path / "run", index, 2, 2, "bfloat16")), rows[:, index])


def open_files(folder: Path) -> list[str]:
    """What this process holds open in a folder, also what was deleted in it."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:  # the listing's own
            continue
    return [name for name in found if name.startswith(f"{folder}{os.sep}")]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_rows_that_were_deleted_do_not_keep_their_disk(capture: Any, tmp_path: Path, rows: Rows) -> None:
    """Only the last run's files are open, and none when the engine is gone."""
    runs = [tmp_path / f"run {number}" for number in range(3)]
    for run in runs:
        generate(capture, run, rows)
        shutil.rmtree(run)

    held = open_files(tmp_path)
    assert len(held) == 5
    assert all(name.startswith(str(runs[-1])) for name in held)
    capture._files = None
    gc.collect()
    assert open_files(tmp_path) == []


def test_a_run_that_goes_on_keeps_its_rows(capture: Any, tmp_path: Path, rows: Rows) -> None:
    """Opening its files again does not empty them."""
    generate(capture, tmp_path / "run", rows)
    generate(capture, tmp_path / "other", rows)
    generate(capture, tmp_path / "run", rows[:1])

    np.testing.assert_array_equal(unpack(*read_rows(tmp_path / "run", 1, 2, 2, "bfloat16")), rows[:, 1])
