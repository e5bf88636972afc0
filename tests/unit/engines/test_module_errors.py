"""Attentions and MLPs computed again from what they were given: a fault is seen in its module, and in no later one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.module_states import Watch
from npu_conformance.engines.reference import loaded
from npu_conformance.engines.reference.module_errors import measure, run
from npu_conformance.errors import TraceError
from npu_conformance.measure.module_errors import load_module_errors
from npu_conformance.traces.module_states import (
    ModuleStates,
    holds_module_states,
    load_module_states,
    module_states_file,
    save_module_states,
)
from npu_conformance.workers.scorer_job import ModulesJob
from tests.unit.helpers.small_traces import logits, write_trace

IDS = tuple(range(3, 23))
JUDGED = 5
FAULTY = "model.layers.1.self_attn"


@pytest.fixture
def models() -> Callable[[str], Any]:
    """A tiny Qwen3 of four layers in a dtype; the same weights each time."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=50, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, pad_token_id=0,
    )  # fmt: skip

    def made(dtype: str) -> Any:
        torch.manual_seed(0)
        config._attn_implementation = "sdpa"
        exact = Qwen3ForCausalLM(config).bfloat16().float()
        # Weights alone: rotary frequencies are of float32 in any dtype.
        for parameter in exact.parameters():
            parameter.data = parameter.data.to(getattr(torch, dtype))
        return exact.eval()

    return made


def decoded(model: Any) -> ModuleStates:
    """What its modules are given and give: a prefill, then a token at a time through its cache."""
    import torch

    watch, past, start = Watch(model), None, 0
    with torch.inference_mode():
        for end in range(len(IDS) - JUDGED + 1, len(IDS) + 1):
            past = model(input_ids=torch.tensor([IDS[start:end]]), past_key_values=past, use_cache=True).past_key_values
            start = end
    states = watch.seen(IDS, JUDGED)
    watch.remove()
    assert states is not None
    return states


@contextmanager
def head_scaled(model: Any, times: float) -> Iterator[None]:
    """One head of the second layer gives more."""

    def before(_module: Any, inputs: tuple[Any, ...]) -> Any:
        heads = inputs[0].clone()
        heads[..., :16] *= times
        return (heads,)

    handle = model.model.layers[1].self_attn.o_proj.register_forward_pre_hook(before)
    yield
    handle.remove()


def test_a_clean_run_errs_as_its_floor_does(models: Callable[[str], Any]) -> None:
    """Each module: its kernels in decode round otherwise, no more."""
    found = measure(models("float32"), decoded(models("bfloat16")), "bfloat16")

    assert list(found) == [f"model.layers.{layer}.{name}" for layer in range(4) for name in ("self_attn", "mlp")]
    for error, _, floor in found.values():
        assert error.shape == (JUDGED,)
        assert floor.shape == (2, JUDGED)
        assert abs(float(error.mean() - floor.mean())) < 0.3


def test_a_head_off_by_a_fifth_is_seen_in_its_attention_alone(models: Callable[[str], Any]) -> None:
    """Of what follows each is computed from what it was given; and the error points along what that head gives."""
    candidate = models("bfloat16")
    with head_scaled(candidate, 1.2):
        found = measure(models("float32"), decoded(candidate), "bfloat16")
    over = {point: float(error.mean() - floor.mean()) for point, (error, _, floor) in found.items()}

    assert over.pop(FAULTY) > np.log(4)
    assert max(over.values()) < 0.3
    assert float(found[FAULTY][1].mean()) > 0.01


def test_attention_is_computed_from_all_it_looked_back_at(models: Callable[[str], Any]) -> None:
    """So of its input every token is kept; of what an MLP is given, what is judged."""
    states = decoded(models("bfloat16"))

    assert {len(rows) for point, rows in states.given.items() if point.endswith("self_attn")} == {len(IDS)}
    assert {len(rows) for point, rows in states.given.items() if point.endswith("mlp")} == {JUDGED}
    assert {len(rows) for rows in states.gave.values()} == {JUDGED}


def test_what_ran_in_pieces_is_not_taken_for_the_sequence(models: Callable[[str], Any]) -> None:
    """As with a prompt in chunks, or a pass of another request between."""
    import torch

    model = models("bfloat16")
    watch = Watch(model)
    with torch.inference_mode():
        model(input_ids=torch.tensor([IDS]), use_cache=False)

    assert watch.seen(IDS, JUDGED) is None
    watch.clear(JUDGED)
    assert watch.seen(IDS, JUDGED) is None


def test_files_are_exact_and_small(tmp_path: Path, models: Callable[[str], Any]) -> None:
    """Two bytes a value of bfloat16; a damaged file is refused with its name."""
    states = decoded(models("bfloat16"))
    save_module_states(tmp_path, 3, states)
    (found,) = load_module_states(tmp_path).values()

    assert found.ids == IDS
    for point, rows in states.given.items():
        np.testing.assert_array_equal(found.given[point], rows)
    values = sum(rows.size for side in (states.given, states.gave) for rows in side.values())
    assert module_states_file(tmp_path, 3).stat().st_size < 2 * values + 10_000

    np.savez(module_states_file(tmp_path, 3), ids=np.arange(4), nothing=np.zeros(3))
    with pytest.raises(TraceError, match=r"0003\.npz: cannot be read"):
        load_module_states(tmp_path)


def test_a_job_leaves_what_was_measured_and_no_states(
    tmp_path: Path, models: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names of the prompts that it is of."""
    candidate = write_trace(tmp_path / "candidate", logits(3, 2))
    for index in (0, 2):
        save_module_states(candidate, index, decoded(models("bfloat16")))
    monkeypatch.setattr(loaded, "load_model", lambda _checkpoint, dtype, *_, **__: models(dtype))
    job = ModulesJob(
        checkpoint=tmp_path / "model", checkpoint_digest="d", cache=tmp_path / "cache", attn_implementation="sdpa",
        output=tmp_path / "module_errors.npz", candidate=candidate, floor_dtype="bfloat16",
    )  # fmt: skip
    run(job, lambda *_: None)
    errors = load_module_errors(job.output)

    assert errors is not None
    assert len(errors.prompts) == 2
    assert errors.candidate.shape == (2, JUDGED, 8)
    assert errors.floor.shape == (2, 2, JUDGED, 8)
    assert not holds_module_states(candidate)
