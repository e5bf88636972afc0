"""Logits of a whole prefix, taken from what the model hands to its head: chunks, padding, ranks."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.vllm.prefill import PrefillHook, prefill_answers
from npu_conformance.traces.rows import Rows, unpack
from npu_conformance.traces.trace import PREFILL, Answer

IDS = (5, 3, 8, 1, 9, 2, 7)
WIDTH, WORDS = 4, 6


@pytest.fixture(autouse=True)
def rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes this process another tensor-parallel rank than 0."""
    ranks = [0]
    distributed, vllm = ModuleType("vllm.distributed"), ModuleType("vllm")
    distributed.__dict__["get_tensor_model_parallel_rank"] = lambda: ranks[0]
    vllm.__dict__["SamplingParams"] = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.distributed", distributed)
    return lambda number: ranks.__setitem__(0, number)


class Worker(PrefillHook):
    """VLLM's worker, with a model whose state at a position is the embedding of its token."""

    def __init__(self, output: Callable[[Any], Any] = lambda states: states, dtype: str = "float32") -> None:
        import torch

        class Model(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.embed = torch.nn.Embedding(20, WIDTH)
                self.head = torch.nn.Linear(WIDTH, WORDS)

            def forward(self, input_ids: Any, positions: Any, **_: Any) -> Any:
                assert positions is not None
                return output(self.embed(input_ids))

            def compute_logits(self, states: Any) -> Any:
                return self.head(states)

        torch.manual_seed(2)
        self.model = Model().to(getattr(torch, dtype)).eval()

    def get_model(self) -> Any:
        """As vLLM's worker has it."""
        return self.model

    def step(self, ids: Sequence[int], positions: Any, *, named: bool = True) -> Any:
        """A forward pass over tokens at positions, as vLLM makes it; what it returned."""
        import torch

        with torch.inference_mode():
            tokens, places = torch.tensor(ids), torch.tensor(positions)
            return self.model(input_ids=tokens, positions=places) if named else self.model(tokens, places)

    def expected(self, first: int, count: int) -> Rows:
        """Logits at positions of `IDS`."""
        import torch

        with torch.inference_mode():
            states = self.model.embed(torch.tensor(IDS[first : first + count]))
            rows: Rows = self.model.head(states).float().numpy()
        return rows


def check(worker: Worker, folder: Path, first: int = 2, count: int = 4) -> None:
    """Hold what the hook leaves against the model's own logits."""
    storage = worker.prefill_logits(str(folder), 3, first, count)
    assert storage is not None
    rows = unpack(np.load(folder / "0003.npy"), storage)
    np.testing.assert_allclose(rows, worker.expected(first, count), rtol=1e-6, atol=1e-6)


@pytest.fixture
def worker() -> Worker:
    """One whose hook is in."""
    worker = Worker()
    worker.start_prefill_hook()
    return worker


@pytest.mark.parametrize("named", [True, False])
def test_one_pass(worker: Worker, tmp_path: Path, named: bool) -> None:
    """Positions by name, or as the second argument."""
    worker.step(IDS, list(range(7)), named=named)

    check(worker, tmp_path)


@pytest.mark.parametrize("sizes", [(3, 4), (2, 2, 3), (1, 1, 1, 1, 1, 1, 1), (6, 1)])
def test_chunks(worker: Worker, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Each row from the chunk that has its position."""
    start = 0
    for size in sizes:
        worker.step(IDS[start : start + size], list(range(start, start + size)))
        start += size

    check(worker, tmp_path)


def test_padding_whose_positions_do_not_count_on(worker: Worker, tmp_path: Path) -> None:
    """Stale ones of an earlier batch, that look like positions of this prompt, and zeros."""
    worker.step([*IDS[:4], 11, 12, 13], [0, 1, 2, 3, 2, 3, 0])
    worker.step([*IDS[4:], 14, 15], [4, 5, 6, 2, 3])

    check(worker, tmp_path)


def test_padding_whose_positions_count_on(worker: Worker, tmp_path: Path) -> None:
    """Those of a longer prompt before: the chunk that really has them comes later; after the last nothing does."""
    worker.step([*IDS[:3], 11, 12], [0, 1, 2, 3, 4])
    worker.step([*IDS[3:], 13], [3, 4, 5, 6, 7])

    check(worker, tmp_path)
    worker.step([*IDS, 13, 14], list(range(9)))
    check(worker, tmp_path, first=0, count=7)


def test_more_positions_than_states(tmp_path: Path) -> None:
    """Where the buffer of positions is padded and the model's output is cut."""
    worker = Worker(output=lambda states: states[:7])
    worker.start_prefill_hook()
    worker.step([*IDS, 11], list(range(8)))
    assert worker.prefill_logits(str(tmp_path), 3, 4, 4) is None

    worker.step([*IDS, 11], list(range(8)))
    check(worker, tmp_path, first=3, count=4)


def test_rotary_positions_of_several_dimensions(worker: Worker, tmp_path: Path) -> None:
    """Text counts alike in all of them."""
    worker.step(IDS[:3], [[0, 1, 2]] * 3)
    worker.step(IDS[3:], [[3, 4, 5, 6]] * 3)

    check(worker, tmp_path)


def test_what_is_written_into_later_is_kept(tmp_path: Path) -> None:
    """VLLM's buffers are the next step's as well."""
    import torch

    kept: list[Any] = []

    def output(states: Any) -> Any:
        kept.append(states)
        return states

    worker = Worker(output)
    worker.start_prefill_hook()
    places = torch.arange(7)
    with torch.inference_mode():
        worker.model(input_ids=torch.tensor(IDS), positions=places)
        kept[0].zero_()
        places.zero_()

    check(worker, tmp_path)


@pytest.mark.parametrize("passes", [[], [(0, 5)], [(3, 7)], [(0, 3), (4, 7)]])
def test_a_position_without_its_row(worker: Worker, tmp_path: Path, passes: list[tuple[int, int]]) -> None:
    """No logits at all: none may stand for another."""
    for start, end in passes:
        worker.step(IDS[start:end], list(range(start, end)))

    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None
    assert not any(tmp_path.iterdir())


def test_nothing_of_an_earlier_prompt_is_left(worker: Worker, tmp_path: Path) -> None:
    """Nor after one whose rows were missing."""
    worker.step(IDS, list(range(7)))
    check(worker, tmp_path)
    worker.step(IDS[:3], [0, 1, 2])
    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None
    worker.step(IDS[3:], [3, 4, 5, 6])
    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None


def test_states_beside_others(tmp_path: Path) -> None:
    """A model that hands on auxiliary states besides."""
    worker = Worker(output=lambda states: (states, [states * 2]))
    worker.start_prefill_hook()
    worker.step(IDS, list(range(7)))

    check(worker, tmp_path)


def test_a_stage_that_hands_on_no_states(tmp_path: Path) -> None:
    """As all but the last of a pipeline."""
    worker = Worker(output=lambda states: {"hidden_states": states})
    worker.start_prefill_hook()
    worker.step(IDS, list(range(7)))

    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None


def test_only_one_rank_writes(worker: Worker, tmp_path: Path, rank: Callable[[int], None]) -> None:
    """All take part in the head; those that get no logits of it, or are not the first, write nothing."""
    rank(1)
    worker.step(IDS, list(range(7)))
    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None
    rank(0)
    worker.model.compute_logits = lambda _states: None
    worker.step(IDS, list(range(7)))
    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None

    assert not any(tmp_path.iterdir())


def test_rows_are_stored_as_narrow_as_they_are(tmp_path: Path) -> None:
    """Those of a bfloat16 head in two bytes."""
    worker = Worker(dtype="bfloat16")
    worker.start_prefill_hook()
    worker.step(IDS, list(range(7)))

    assert worker.prefill_logits(str(tmp_path), 0, 0, 7) == "bfloat16"
    assert np.load(tmp_path / "0000.npy").dtype == np.uint16


def test_the_tap_can_be_taken_out(worker: Worker, tmp_path: Path) -> None:
    """And put in again."""
    worker.stop_prefill_hook()
    worker.step(IDS, list(range(7)))
    assert worker.prefill_logits(str(tmp_path), 3, 2, 4) is None
    worker.start_prefill_hook()
    worker.step(IDS, list(range(7)))
    check(worker, tmp_path)


class Engine:
    """VLLM's LLM, as far as it is asked; remembers what it was."""

    def __init__(self, stored: dict[int, list[str | None]]) -> None:
        self._stored = stored
        self.calls: list[tuple[Any, ...]] = []

    def reset_prefix_cache(self) -> None:
        """Or what is cached would not run."""
        self.calls.append(("reset",))

    def generate(self, prompts: list[dict[str, list[int]]], parameters: Any, **options: Any) -> None:
        """One token after each prompt."""
        assert (parameters.temperature, parameters.max_tokens) == (0.0, 1)
        assert options == {"use_tqdm": False, "lora_request": "adapter"}
        self.calls += [("generate", prompt["prompt_token_ids"]) for prompt in prompts]

    def collective_rpc(self, method: str, args: tuple[Any, ...] = ()) -> list[Any]:
        """What each rank answers."""
        self.calls.append((method, *args))
        return list(self._stored[args[1]]) if args else [None]


def answers() -> list[Answer]:
    """Of two prompts."""
    return [Answer("set/a", (1, 2, 3), (7, 8, 9), "a"), Answer("set/b", (4, 5), (6,), "b")]


def test_each_prompt_is_prefilled_with_its_answer(tmp_path: Path) -> None:
    """All but its last token, whose logits nobody reads; alone, and cold."""
    engine = Engine({0: ["bfloat16"], 1: [None, "float32"]})
    found = prefill_answers(engine, tmp_path, answers(), "adapter")
    folder = str(tmp_path / PREFILL)

    assert engine.calls == [
        ("start_prefill_hook",),
        ("reset",),
        ("generate", [1, 2, 3, 7, 8]),
        ("prefill_logits", folder, 0, 2, 3),
        ("reset",),
        ("generate", [4, 5]),
        ("prefill_logits", folder, 1, 1, 1),
        ("stop_prefill_hook",),
    ]
    assert found is not None
    assert [(one.prompt, one.prompt_ids, one.token_ids, one.storage) for one in found] == [
        ("set/a", (1, 2, 3), (7, 8, 9), "bfloat16"),
        ("set/b", (4, 5), (6,), "float32"),
    ]


def test_a_model_that_does_not_run_from_python(tmp_path: Path) -> None:
    """Is asked once; the hook is taken out again."""
    engine = Engine({0: [None, None]})

    assert prefill_answers(engine, tmp_path, answers(), "adapter") is None
    calls = ["start_prefill_hook", "reset", "generate", "prefill_logits", "stop_prefill_hook"]
    assert [call[0] for call in engine.calls] == calls
