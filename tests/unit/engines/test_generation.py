"""Who is asked for what, when they join, and what is read on the way; over an engine that is made up."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.vllm.generation import Generator, Request, Watch, drive, forced_request
from npu_conformance.engines.vllm.scratch import DIGEST_BYTES, EXTRA_ARGS_KEY, NARROW, PLACE

WORDS = 5
LONGEST = 40
"""Steps after which an engine is taken to hang."""


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vLLM with as much as is asked of it."""
    module, parameters = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    module.__dict__["SamplingParams"] = SimpleNamespace
    kinds = SimpleNamespace(CUMULATIVE="cumulative", FINAL_ONLY="final only")
    parameters.__dict__["RequestOutputKind"] = kinds
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", parameters)


class Engine:
    """One token a request and step, `batch` requests at a time; its tokens are the request's prompt, counted on."""

    def __init__(self, batch: int = 100, rename: Callable[[str], str | None] = lambda name: name) -> None:
        self._batch = batch
        self._rename = rename
        self.llm_engine = self
        self.vllm_config = SimpleNamespace(model_config=SimpleNamespace(dtype="torch.bfloat16"))
        self.steps = 0
        self.added: list[tuple[int, str]] = []
        """Step and id of each request."""
        self.parameters: dict[str, Any] = {}
        self.loras: list[Any] = []
        self.running: dict[str, list[int]] = {}
        self.read: list[list[str]] = []
        """Own ids of which states were asked for, by call."""
        self.states: Callable[[str, int], dict[str, list[float]] | None] = lambda name, step: {name: [float(step)]}
        self.of_rank_0: Callable[[dict[str, Any]], Any] = lambda found: found

    def add_request(self, name: str, prompt: dict[str, list[int]], parameters: Any, lora_request: Any) -> str | None:
        """Takes a request; its own name for it."""
        assert name not in self.running
        self.added.append((self.steps, name))
        parameters.prompt_ids = prompt["prompt_token_ids"]
        self.parameters[name] = parameters
        self.loras.append(lora_request)
        self.running[name] = []
        return self._rename(name)

    def has_unfinished_requests(self) -> bool:
        """Whether any runs."""
        return bool(self.running)

    def step(self) -> list[Any]:
        """Makes each running request take a token; those that it has something to say of."""
        assert self.running, "stepped without any request"
        self.steps += 1
        assert self.steps < LONGEST, "hangs"
        said = []
        for name in list(self.running)[: self._batch]:
            parameters, tokens = self.parameters[name], self.running[name]
            tokens.append(parameters.prompt_ids[0] + len(tokens))
            self._record(parameters, len(tokens) - 1)
            finished = len(tokens) == parameters.max_tokens
            if finished:
                del self.running[name]
            if finished or parameters.output_kind == "cumulative":
                said.append(self._output(name, parameters.prompt_ids, tokens, finished))
        return list(reversed(said))

    def collective_rpc(self, method: str, args: tuple[list[str]]) -> list[Any]:
        """States of the requests' last positions."""
        assert method == "sampled_states"
        self.read.append(sorted(args[0]))
        found = {own: self.states(own, self.steps) for own in args[0]}
        return [self.of_rank_0(found), None]

    def _output(self, name: str, prompt_ids: list[int], tokens: list[int], finished: bool) -> Any:
        reason = "length" if finished else None
        outputs = [SimpleNamespace(token_ids=list(tokens), text=f"text {name}", finish_reason=reason)]
        return SimpleNamespace(
            request_id=name, prompt_token_ids=prompt_ids, outputs=outputs, finished=finished, num_cached_tokens=None
        )

    def _record(self, parameters: Any, step: int) -> None:
        """As the capture does it: a row that counts on from the prompt's first token."""
        settings = (parameters.extra_args or {}).get(EXTRA_ARGS_KEY)
        if settings is None:
            return
        folder, slot = Path(settings["scratch"]), settings["first_slot"] + step
        (folder / "vocabulary").write_text(str(WORDS))
        row = np.arange(WORDS, dtype=np.float32) + np.float32(parameters.prompt_ids[0] + step)
        _write(folder / "narrow", slot * WORDS * 2, (row.view(np.uint32) >> 16).astype(np.uint16).tobytes())
        _write(folder / "kind", slot, bytes([NARROW]))
        _write(folder / "digest", slot * DIGEST_BYTES, bytes([slot]) * DIGEST_BYTES)
        _write(folder / "place", slot * PLACE.itemsize, np.array((slot, 1), dtype=PLACE).tobytes())


def _write(path: Path, offset: int, data: bytes) -> None:
    path.touch()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def driven(engine: Engine, requests: Sequence[Request], watch: Watch | None = None) -> list[Any]:
    """Drive the engine; what it gave."""
    seen: list[tuple[str, int, int]] = []

    def progress(phase: str, done: int, total: int) -> None:
        seen.append((phase, done, total))

    settings = [{"mine": index} for index in range(len(requests))]
    found = drive(engine, "forcing", requests, settings, "adapter", progress, watch)
    assert seen[-1] == ("forcing", len(requests), len(requests))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    return found


def test_outputs_are_in_the_requests_order() -> None:
    """Whoever is done first, and joined first."""
    engine = Engine()
    requests = [Request((10,), 4, joins=3), Request((20,), 5), Request((30,), 2, joins=1), Request((40,), 1)]
    found = driven(engine, requests)

    assert [output.request_id for output in found] == ["0", "1", "2", "3"]
    assert [output.outputs[0].token_ids for output in found] == [
        [10, 11, 12, 13],
        [20, 21, 22, 23, 24],
        [30, 31],
        [40],
    ]


def test_requests_join_at_their_step() -> None:
    """After so many of the engine's, whoever runs then."""
    engine = Engine()
    driven(
        engine, [Request((10,), 9), Request((20,), 3, joins=2), Request((30,), 3, joins=2), Request((40,), 1, joins=7)]
    )

    assert engine.added == [(0, "0"), (2, "1"), (2, "2"), (7, "3")]


@pytest.mark.parametrize("batch", [1, 100])
def test_an_idle_engine_does_not_wait(batch: int) -> None:
    """One whose turn has not come joins when nobody runs any more: an idle engine's steps would not count."""
    engine = Engine(batch)
    driven(engine, [Request((10,), 2, joins=5), Request((20,), 3, joins=90), Request((30,), 1, joins=90)])

    # Those two are due at the same step, and the first of them is enough to go on.
    assert engine.added == [(0, "0"), (2, "1"), (5, "2")]


def test_what_is_asked_of_each_request() -> None:
    """Greedy, as long as it may be, with its own settings and the adapter; the end of text stops no forced decode."""
    engine = Engine()
    driven(engine, [forced_request((10, 1), (7, 8, 9), joins=1), Request((20,), 5)])
    forced, free = (engine.parameters[name] for name in ("0", "1"))

    assert (forced.ignore_eos, free.ignore_eos) == (True, False)
    assert (forced.max_tokens, free.max_tokens) == (3, 5)
    assert (forced.temperature, free.temperature) == (0.0, 0.0)
    assert (forced.extra_args, free.extra_args) == ({"mine": 0}, {"mine": 1})
    assert (forced.prompt_ids, free.prompt_ids) == ([10, 1], [20])
    assert forced.output_kind == free.output_kind == "final only"
    assert engine.loras == ["adapter", "adapter"]


def test_a_walk_of_nothing_but_an_empty_prompt_is_a_request() -> None:
    """Forced to no token is forced."""
    assert forced_request((1, 2), (), 3) == Request((1, 2), 0, (), 3)
    assert forced_request((1, 2), (5, 6)) == Request((1, 2), 2, (5, 6), 0)


def test_states_are_read_after_the_step_that_took_the_token() -> None:
    """Once for all that are wanted of that step, by the names the engine gave them."""
    engine = Engine(rename=lambda name: f"own {name}")
    watch = Watch([(0, 2), (1, 1), (1, 4), (2, 0)])
    driven(engine, [Request((10,), 5), Request((20,), 5, joins=1), Request((30,), 5)], watch)

    assert watch.ids == {0: "own 0", 1: "own 1", 2: "own 2"}
    assert engine.read == [["own 2"], ["own 0", "own 1"], ["own 1"]]
    assert watch.states == {
        (2, 0): {"own 2": [1.0]},
        (0, 2): {"own 0": [3.0]},
        (1, 1): {"own 1": [3.0]},
        (1, 4): {"own 1": [6.0]},
    }
    assert engine.parameters["0"].output_kind == "cumulative"


def test_an_engine_that_keeps_our_names() -> None:
    """As older versions do, which return none."""
    engine = Engine(rename=lambda _: None)
    watch = Watch([(1, 0)])
    driven(engine, [Request((10,), 2), Request((20,), 2)], watch)

    assert watch.ids == {0: "0", 1: "1"}
    assert watch.states == {(1, 0): {"1": [1.0]}}


def test_states_that_cannot_be_read_are_missing() -> None:
    """Of one request, or of all; none stands for another."""
    engine = Engine()
    engine.states = lambda name, _: None if name == "0" else {"here": [1.0]}
    watch = Watch([(0, 1), (1, 1)])
    driven(engine, [Request((10,), 3), Request((20,), 3)], watch)
    assert watch.states == {(1, 1): {"here": [1.0]}}

    engine, watch = Engine(), Watch([(0, 1)])
    engine.of_rank_0 = lambda _: None
    driven(engine, [Request((10,), 3)], watch)
    assert watch.states == {}
    assert len(engine.read) == 1


def test_rows_are_those_of_their_request(tmp_path: Path) -> None:
    """In a folder of each call's own, with where in the batch they were computed."""
    engine = Engine()
    generator = Generator(engine, tmp_path, lambda *_: None, "adapter")
    requests = [Request((10,), 2), forced_request((20,), (5, 6, 7), 1)]
    watch = Watch([(1, 0)])
    first = generator.rows("first", requests, watch=watch)
    assert watch.states.keys() == {(1, 0)}
    settings = engine.parameters["1"].extra_args[EXTRA_ARGS_KEY]
    again = generator.rows("again", [requests[1]], adapted=False)

    for captured, index, start, count in ((first, 0, 10, 2), (first, 1, 20, 3), (again, 0, 20, 3)):
        expected = start + np.arange(count)[:, None] + np.arange(WORDS)
        np.testing.assert_array_equal(captured.rows(index), expected)
        assert captured.stored(index)[1] == "bfloat16"
    assert first.files != again.files
    assert engine.loras == ["adapter", "adapter", None]
    one = first.generated[1]
    assert (one.prompt_ids, one.token_ids, one.text, one.cached_tokens) == ((20,), (20, 21, 22), "text 1", 0)
    assert one.finish_reason == "length"
    assert one.places["row"].tolist() == [3, 4, 5]
    assert (settings["forced"], settings["first_slot"], settings["max_tokens"]) == ([5, 6, 7], 3, 3)
    assert settings["digests_only"] is False


def test_digests_are_those_of_their_request(tmp_path: Path) -> None:
    """With the tokens that were taken."""
    engine = Engine()
    generator = Generator(engine, tmp_path, lambda *_: None)
    found = generator.digests("again", [Request((10,), 1), Request((20,), 3)])

    assert found == [
        ((10,), ("00" * DIGEST_BYTES,)),
        ((20, 21, 22), tuple(f"0{slot}" * DIGEST_BYTES for slot in (3, 4, 5))),
    ]
    assert engine.parameters["0"].extra_args[EXTRA_ARGS_KEY]["digests_only"] is True


def test_no_requests_at_all(tmp_path: Path) -> None:
    """As of an engine whose longest request is shorter than a block, for which there are no block-boundary prompts."""
    captured = Generator(Engine(), tmp_path, lambda *_: None).rows("forcing block-boundary prompts", [])

    assert captured.generated == []


def test_tokens_alone_ask_for_no_capture(tmp_path: Path) -> None:
    """Of an engine that may refuse it; with the adapter, and nothing written."""
    engine = Engine()
    found = Generator(engine, tmp_path, lambda *_: None, "adapter").tokens("generating", [Request((10,), 2)])

    assert [(one.prompt_ids, one.token_ids, one.text) for one in found] == [((10,), (10, 11), "text 0")]
    assert len(found[0].places) == 0
    assert engine.parameters["0"].extra_args is None
    assert engine.loras == ["adapter"]
    assert list(tmp_path.iterdir()) == []
