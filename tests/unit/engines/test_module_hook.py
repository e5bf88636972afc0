"""What vLLM's worker keeps of attentions and MLPs: of a sequence that ran alone, on the first rank, or nothing."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.vllm import module_states
from npu_conformance.engines.vllm.module_states import JUDGED, ModuleHook, chosen_sequences, save_modules_of
from npu_conformance.traces.module_states import holds_module_states, load_module_states
from npu_conformance.traces.trace import Answer

WIDTH = 4
PROMPT, TOKENS = tuple(range(1, 13)), (3, 1, 2)


@pytest.fixture(autouse=True)
def rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes this process another tensor-parallel rank than 0."""
    ranks = [0]
    distributed, vllm = ModuleType("vllm.distributed"), ModuleType("vllm")
    distributed.__dict__["get_tensor_model_parallel_rank"] = lambda: ranks[0]
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.distributed", distributed)
    return lambda number: ranks.__setitem__(0, number)


class Engine(ModuleHook):
    """VLLM's worker and engine in one, whose attention writes into a tensor that it is given, and whose MLP too."""

    def __init__(self, pieces: Sequence[int] = ()) -> None:
        import torch

        class Attention(torch.nn.Module):  # type: ignore[misc]
            def forward(self, positions: Any, hidden_states: Any, output: Any) -> None:
                output.copy_(2 * hidden_states + positions[:, None])

        class Mlp(torch.nn.Module):  # type: ignore[misc]
            def forward(self, hidden: Any) -> Any:
                return hidden.mul_(3)

        decoder = torch.nn.Module()
        decoder.embed_tokens, decoder.norm = torch.nn.Embedding(20, WIDTH), torch.nn.Identity()
        layer = torch.nn.Module()
        layer.self_attn, layer.mlp = Attention(), Mlp()
        decoder.layers = torch.nn.ModuleList([layer])
        self._model, self._pieces = torch.nn.Sequential(decoder), pieces

    def get_model(self) -> Any:
        """As vLLM's worker has it."""
        return self._model

    def collective_rpc(self, name: str, args: tuple[Any, ...] = ()) -> list[Any]:
        """Of one rank."""
        return [getattr(self, name)(*args)]

    def reset_prefix_cache(self) -> None:
        """There is none."""

    def rows(self, _phase: str, requests: Sequence[Any]) -> None:
        """Run each request, its prompt in one pass or in pieces, then a token at a time."""
        import torch

        decoder = self._model[0]
        for one in requests:
            fed = [*one.prompt_ids, *one.forced[:-1]]
            ends = [*self._pieces, *range(len(one.prompt_ids), len(fed) + 1)]
            for start, end in zip([0, *ends], ends, strict=False):
                with torch.inference_mode():
                    hidden = decoder.embed_tokens(torch.tensor(fed[start:end]))
                    output = torch.empty_like(hidden)
                    decoder.layers[0].self_attn(positions=torch.arange(start, end), hidden_states=hidden, output=output)
                    decoder.layers[0].mlp(output)


def asked(engine: Engine, folder: Path, prompts: int = 2) -> Any:
    """What the functions look at of an engine's run."""
    generator = SimpleNamespace(llm=engine, rows=engine.rows)
    return SimpleNamespace(generator=generator, stage=folder, job=SimpleNamespace(module_prompts=prompts))


def answers(count: int = 3) -> list[Answer]:
    """Short ones, so that some of the prompt is forced too."""
    return [Answer(f"a/{number}", PROMPT, TOKENS, "") for number in range(count)]


def test_what_was_given_and_given_back_is_kept_of_the_first_prompts(tmp_path: Path) -> None:
    """Also what a module writes into a tensor; and what it was given, before it writes into that."""
    engine = Engine()
    save_modules_of(asked(engine, tmp_path), answers())
    found = load_module_states(tmp_path)
    ids = (*PROMPT, *TOKENS)[:-1]
    embedded = engine.get_model()[0].embed_tokens.weight.detach().numpy()[list(ids)]

    assert list(found) == [0, 1]
    assert found[1].ids == ids
    attention, mlp = "model.layers.0.self_attn", "model.layers.0.mlp"
    exact = 2 * embedded + np.arange(len(ids), dtype=np.float32)[:, None]
    np.testing.assert_array_equal(found[1].given[attention], embedded)
    np.testing.assert_allclose(found[1].gave[attention], exact[-JUDGED:], rtol=1e-6)
    np.testing.assert_allclose(found[1].given[mlp], exact[-JUDGED:], rtol=1e-6)
    np.testing.assert_allclose(found[1].gave[mlp], 3 * exact[-JUDGED:], rtol=1e-6)


def test_other_ranks_write_nothing_and_hold_nobody_up(tmp_path: Path, rank: Callable[[int], None]) -> None:
    """They have what the first has."""
    rank(1)
    save_modules_of(asked(Engine(), tmp_path), answers())

    assert not holds_module_states(tmp_path)


def test_a_model_without_the_usual_modules_leaves_nothing(tmp_path: Path) -> None:
    """As one of which a rank has some layers only: no module of it is judged."""
    engine = Engine()
    del engine.get_model()[0].layers[0].self_attn
    del engine.get_model()[0].layers[0].mlp
    engine.rows = lambda *_: None  # type: ignore[method-assign]
    save_modules_of(asked(engine, tmp_path), answers())

    assert not holds_module_states(tmp_path)


def test_sequences_that_are_too_short_or_too_long_are_left_out() -> None:
    """And no prompt is looked at where none is asked for."""
    long, short = Answer("a/long", (1,) * 600, (2,), ""), Answer("a/short", (1, 2), (3,), "")

    assert list(chosen_sequences([long, short, *answers()], 2)) == [2, 3]
    assert chosen_sequences(answers(), 0) == {}
    assert module_states._LONGEST == 512
