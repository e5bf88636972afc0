"""The tap holds each layer's states, in eager and in compiled code, and says so where it does not."""

import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.hidden import TAP_ROWS

POINTS = ("embedding", "layer 1", "layer 2", "final norm")
WIDTH = 8


def tiny_model() -> Any:
    """A decoder of two layers as vLLM makes them: two terms, the second of which the next layer writes into."""
    import torch

    class Layer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.mix = torch.nn.Linear(WIDTH, WIDTH)

        def forward(self, hidden: Any, residual: Any) -> Any:
            residual = hidden.clone() if residual is None else residual.add_(hidden)
            return self.mix(residual).tanh_(), residual

    class Norm(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(WIDTH))

        def forward(self, hidden: Any, residual: Any) -> Any:
            residual.add_(hidden)
            return residual * self.weight, residual

    class Decoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed_tokens = torch.nn.Embedding(50, WIDTH)
            self.layers = torch.nn.ModuleList([Layer(), Layer()])
            self.norm = Norm()

        def forward(self, ids: Any) -> Any:
            hidden, residual = self.embed_tokens(ids), None
            for layer in self.layers:
                hidden, residual = layer(hidden, residual)
            return self.norm(hidden, residual)[0]

    torch.manual_seed(3)
    return torch.nn.Sequential(Decoder()).eval()


def run(forward: Callable[[Any], Any], tokens: int) -> Any:
    """A forward pass over so many tokens, as vLLM makes it."""
    import torch

    with torch.inference_mode():
        return forward(torch.arange(tokens) + tokens)


def expected(tokens: int) -> tuple[dict[str, Any], Any]:
    """States by point and output of the untapped model."""
    from npu_conformance.engines.hidden import tapped

    model = tiny_model()
    with tapped(model) as seen:
        output = run(model, tokens)
    assert seen is not None
    return seen, output


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("backend", [None, "eager", "aot_eager", "inductor"])
def test_every_forward_pass_leaves_its_states(backend: str | None) -> None:
    """Whatever the number of tokens; `aot_eager` leaves operators that write as Ascend's own compiler does."""
    import torch

    from npu_conformance.engines.tap import install

    model = tiny_model()
    tap = install(model, rows=9)
    assert tap is not None
    assert tap.points == POINTS
    forward = model if backend is None else torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for tokens in (5, 2, 9, 1):
        states, output = expected(tokens)
        torch.testing.assert_close(run(forward, tokens), output)
        assert tap.held == tokens
        for row, found in enumerate(tap.read(range(tokens))):
            for point in POINTS:
                np.testing.assert_allclose(found[point], states[point][row], rtol=1e-6, atol=1e-6)


def test_a_tapped_model_computes_the_same() -> None:
    """To the bit, and in its own dtype."""
    import torch

    from npu_conformance.engines.tap import install

    plain, model = tiny_model().bfloat16(), tiny_model().bfloat16()
    assert install(model, rows=4) is not None

    assert torch.equal(run(plain, 7), run(model, 7))


def test_the_two_terms_are_added_in_float32() -> None:
    """What bfloat16 cannot hold of their sum is not lost."""
    import torch

    from npu_conformance.engines.tap import install

    model = tiny_model().bfloat16()
    tap = install(model, rows=4)
    assert tap is not None
    terms: list[Any] = []
    model[0].layers[0].register_forward_hook(lambda _module, _inputs, output: terms.extend(t.float() for t in output))
    run(model, 2)

    hidden, residual = terms
    assert torch.equal(torch.tensor(tap.read([1])[0]["layer 1"]), (hidden + residual)[1])


def test_more_tokens_than_rows_keep_the_first() -> None:
    """And never count as more than are held."""
    from npu_conformance.engines.tap import install

    model = tiny_model()
    tap = install(model, rows=3)
    assert tap is not None
    states, _ = expected(8)
    run(model, 8)

    assert tap.held == 3
    np.testing.assert_array_equal(tap.read([2])[0]["layer 2"], states["layer 2"][2])


def test_a_batch_dimension_counts_tokens() -> None:
    """As vLLM's transformers backend has one."""
    import torch

    from npu_conformance.engines.tap import install

    model = tiny_model()
    tap = install(model, rows=4)
    assert tap is not None
    states, _ = expected(3)
    run(lambda ids: model(ids[None]), 3)

    assert tap.held == 3
    assert torch.equal(torch.tensor([row["final norm"] for row in tap.read([0, 1, 2])]), states["final norm"])


def test_what_was_not_passed_is_not_held() -> None:
    """Before the first pass, after it is forgotten, and where one layer is left out or has another width."""
    import torch

    from npu_conformance.engines.tap import install

    model = tiny_model()
    tap = install(model, rows=4)
    assert tap is not None
    assert tap.held == 0
    run(model, 2)
    assert tap.held == 2
    tap.forget()
    assert tap.held == 0
    run(model[0].embed_tokens, 2)
    assert tap.held == 0

    model[0].embed_tokens = torch.nn.Embedding(50, WIDTH // 2)
    tap = install(model, rows=4)
    assert tap is not None
    model[0].embed_tokens(torch.tensor([1]))
    for layer in model[0].layers:
        layer(torch.zeros(1, WIDTH), None)
    model[0].norm(torch.zeros(1, WIDTH), torch.zeros(1, WIDTH))
    assert tap.held == 0


def test_a_model_of_another_make_is_not_tapped() -> None:
    """Nor one whose last layers are on another rank."""
    import torch

    from npu_conformance.engines.tap import install, installed

    part = tiny_model()
    part[0].norm = torch.nn.Identity()
    for model in (torch.nn.Linear(2, 2), part):
        assert install(model, rows=4) is None
        assert installed(model) is None


def test_hooks_are_replaced_and_removed() -> None:
    """A model has one tap at most."""
    from npu_conformance.engines.tap import install, installed

    model = tiny_model()
    first, second = install(model, rows=4), install(model, rows=4)
    assert first is not None
    assert second is not None
    run(model, 2)
    assert (first.held, second.held) == (0, 2)
    assert installed(model) is second

    second.remove()
    assert installed(model) is None
    assert not any(module._forward_hooks for module in model.modules())


LOADER, LORA = "vllm.model_executor.model_loader.base_loader", "vllm.v1.worker.lora_model_runner_mixin"


class Vllm:
    """What of vLLM the tap is put into, with models that are already loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loader = SimpleNamespace(load_model=lambda model: model)
        self.runner = SimpleNamespace(load_lora_model=lambda model: model)
        for name, attributes in (
            (LOADER, {"BaseModelLoader": self.loader}),
            (LORA, {"LoRAModelRunnerMixin": self.runner}),
        ):
            module = ModuleType(name)
            module.__dict__.update(attributes)
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setenv("VLLM_DISABLE_COMPILE_CACHE", "0")


def test_nothing_is_tapped_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is vLLM looked at."""
    from npu_conformance.engines.tap import register

    vllm = Vllm(monkeypatch)
    before = vllm.loader.load_model
    monkeypatch.delenv(TAP_ROWS, raising=False)
    register()

    assert vllm.loader.load_model is before
    assert os.environ["VLLM_DISABLE_COMPILE_CACHE"] == "0"


def test_the_main_model_is_tapped_as_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drafter, which is loaded later, is not; the compile cache knows nothing of it and is left out."""
    import torch

    from npu_conformance.engines.tap import installed, register

    vllm = Vllm(monkeypatch)
    monkeypatch.setenv(TAP_ROWS, "6")
    register()
    assert os.environ["VLLM_DISABLE_COMPILE_CACHE"] == "1"

    main, drafter = tiny_model(), tiny_model()
    vllm.loader.load_model(torch.nn.Linear(2, 2))
    assert vllm.loader.load_model(main) is main
    vllm.loader.load_model(drafter)
    assert installed(drafter) is None
    assert (tap := installed(main)) is not None
    run(main, 9)
    assert tap.held == 6


def test_modules_that_lora_replaces_are_tapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """LoRA's embedding calls the `forward` of the one it replaces, past its hooks."""
    import torch

    from npu_conformance.engines.tap import installed, register

    class Adapted(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, base: Any) -> None:
            super().__init__()
            self.base = base

        def forward(self, ids: Any) -> Any:
            return self.base.forward(ids)

    vllm = Vllm(monkeypatch)
    monkeypatch.setenv(TAP_ROWS, "6")
    register()
    model = vllm.loader.load_model(tiny_model())
    model[0].embed_tokens = Adapted(model[0].embed_tokens)
    vllm.runner.load_lora_model(model)
    run(model, 3)

    assert (tap := installed(model)) is not None
    assert tap.held == 3


class Worker(SimpleNamespace):
    """What of vLLM's worker the tap looks at: after a step of two requests whole, and a chunk of a third's prompt."""

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
            vllm_config=SimpleNamespace(
                scheduler_config=SimpleNamespace(max_num_batched_tokens=12),
                model_config=SimpleNamespace(max_model_len=64),
            ),
        )


def layer_tap(model: Any, **runner: Any) -> Any:
    """The class that is mixed into workers, in one."""
    from npu_conformance.engines.layers import LayerTap

    return type("TappedWorker", (Worker, LayerTap), {})(model, **runner)


def test_the_last_token_of_each_sampled_request_is_read() -> None:
    """Not that of a request whose prompt has not been read to its end, nor one that was not asked for."""
    model = tiny_model()
    worker = layer_tap(model)
    worker.start_layer_tap()
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
    worker = layer_tap(model)
    worker.start_layer_tap(3)
    run(model, 7)

    found = worker.sampled_states(["short", "decoding"])
    assert found["decoding"] is None
    assert found["short"]["layer 1"]


def test_states_are_not_read_from_a_batch_that_may_be_another() -> None:
    """Where the next step may have begun, and where the runner is of another make."""
    model = tiny_model()
    asynchronous, unknown = layer_tap(model, use_async_scheduling=True), layer_tap(model)
    del unknown.model_runner.query_start_loc
    asynchronous.start_layer_tap()
    run(model, 7)

    assert asynchronous.sampled_states(["short"]) is None
    assert unknown.sampled_states(["short"]) is None


def test_the_tap_of_a_running_engine() -> None:
    """It holds the last prompt's last token, not an earlier pass's, and is gone after it is stopped."""
    model = tiny_model()
    worker = layer_tap(model)
    worker.start_layer_tap()
    assert worker.hidden_states(1) is None
    states, _ = expected(5)
    run(model, 5)
    np.testing.assert_array_equal(worker.hidden_states(5)["layer 2"], states["layer 2"][4])
    assert worker.hidden_states(6) is None

    worker.stop_layer_tap()
    assert worker.hidden_states(5) is None
    assert not any(module._forward_hooks for module in model.modules())


def test_a_tap_from_loading_stays() -> None:
    """It starts without what was run before."""
    from npu_conformance.engines.tap import install, installed

    model = tiny_model()
    tap = install(model, rows=4)
    run(model, 4)
    worker = layer_tap(model)
    worker.start_layer_tap()
    assert worker.hidden_states(1) is None
    worker.stop_layer_tap()

    assert installed(model) is tap
