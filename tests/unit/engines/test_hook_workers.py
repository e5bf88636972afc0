"""The hook inside vLLM's workers: put in as a model is loaded, read after an engine step."""

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.hidden import HOOK_ROWS
from tests.unit.helpers.hooked_models import POINTS, expected, run, tiny_model

LOADER = "vllm.model_executor.model_loader.base_loader"


class Vllm:
    """What of vLLM the hook is put into, with models that are already loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loader = SimpleNamespace(load_model=lambda model: model)
        module = ModuleType(LOADER)
        module.__dict__["BaseModelLoader"] = self.loader
        monkeypatch.setitem(sys.modules, LOADER, module)
        monkeypatch.setenv("VLLM_DISABLE_COMPILE_CACHE", "0")


def test_nothing_is_tapped_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is vLLM looked at."""
    from npu_conformance.engines.hook import register

    vllm = Vllm(monkeypatch)
    before = vllm.loader.load_model
    monkeypatch.delenv(HOOK_ROWS, raising=False)
    register()

    assert vllm.loader.load_model is before
    assert os.environ["VLLM_DISABLE_COMPILE_CACHE"] == "0"


def test_the_main_model_is_tapped_as_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drafter, which is loaded later, is not; the compile cache knows nothing of it and is left out."""
    import torch

    from npu_conformance.engines.hook import installed, register

    vllm = Vllm(monkeypatch)
    monkeypatch.setenv(HOOK_ROWS, "6")
    register()
    assert os.environ["VLLM_DISABLE_COMPILE_CACHE"] == "1"

    main, drafter = tiny_model(), tiny_model()
    vllm.loader.load_model(torch.nn.Linear(2, 2))
    assert vllm.loader.load_model(main) is main
    vllm.loader.load_model(drafter)
    assert installed(drafter) is None
    assert (hook := installed(main)) is not None
    run(main, 9)
    assert hook.held == 6


class Worker(SimpleNamespace):
    """What of vLLM's worker the hook looks at: after a step of two requests whole, and a chunk of a third's prompt."""

    def __init__(self, model: Any, **runner: Any) -> None:
        batch = SimpleNamespace(
            req_ids=["short", "chunked", "decoding"],
            num_computed_tokens_cpu=np.array([0, 0, 40, 0]),
            num_prompt_tokens=np.array([2, 30, 8, 0]),
        )
        starts = SimpleNamespace(np=np.array([0, 2, 6, 7, 99]))
        super().__init__(
            get_model=lambda: model,
            model_runner=SimpleNamespace(input_batch=batch, query_start_loc=starts, **runner),
        )


def layer_hook(model: Any, **runner: Any) -> Any:
    """The class that is mixed into workers, in one."""
    from npu_conformance.engines.vllm.layers import LayerHook

    return type("TappedWorker", (Worker, LayerHook), {})(model, **runner)


def test_the_last_token_of_each_sampled_request_is_read() -> None:
    """Not that of a request whose prompt has not been read to its end, nor one that was not asked for."""
    model = tiny_model()
    worker = layer_hook(model)
    worker.start_layer_hook(12)
    states, _ = expected(7)
    run(model, 7)

    found = worker.sampled_states(["short", "chunked", "decoding", "finished before"])
    assert set(found) == {"short", "decoding"}
    for request, row in (("short", 1), ("decoding", 6)):
        for point in POINTS:
            np.testing.assert_array_equal(found[request][point], states[point][row])
    assert set(worker.sampled_states(["decoding"])) == {"decoding"}
    assert worker.sampled_states([]) == {}


def test_a_request_beyond_what_is_kept_has_none() -> None:
    """Rather than the states of another pass."""
    model = tiny_model()
    worker = layer_hook(model)
    worker.start_layer_hook(3)
    run(model, 7)

    found = worker.sampled_states(["short", "decoding"])
    assert found["decoding"] is None
    assert found["short"]["model.layers.0"]


def test_states_are_not_read_from_a_batch_that_may_be_another() -> None:
    """Where the next step may have begun, and where the runner is of another make."""
    model = tiny_model()
    asynchronous, unknown = layer_hook(model, use_async_scheduling=True), layer_hook(model)
    del unknown.model_runner.query_start_loc
    asynchronous.start_layer_hook(12)
    run(model, 7)

    assert asynchronous.sampled_states(["short"]) is None
    assert unknown.sampled_states(["short"]) is None


def test_the_tap_of_a_running_engine() -> None:
    """It holds the last prompt's last token, not an earlier pass's, and is gone after it is stopped."""
    model = tiny_model()
    worker = layer_hook(model)
    worker.start_layer_hook(12)
    assert worker.hidden_states(1) is None
    states, _ = expected(5)
    run(model, 5)
    np.testing.assert_array_equal(worker.hidden_states(5)["model.layers.1"], states["model.layers.1"][4])
    assert worker.hidden_states(6) is None

    worker.stop_layer_hook()
    assert worker.hidden_states(5) is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
