"""The hook holds each layer's states, in eager and in compiled code, and says so where it does not."""

from typing import Any

import numpy as np
import pytest

from tests.unit.helpers.hooked_models import POINTS, WIDTH, expected, run, tiny_model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("backend", [None, "eager", "aot_eager", "inductor"])
def test_every_forward_pass_leaves_its_states(backend: str | None) -> None:
    """Whatever the number of tokens; `aot_eager` leaves operators that write as Ascend's own compiler does."""
    import torch

    from npu_conformance.engines.hook import install

    model = tiny_model()
    hook = install(model, rows=9)
    assert hook is not None
    assert hook.points == POINTS
    forward = model if backend is None else torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for tokens in (5, 2, 9, 1):
        states, output = expected(tokens)
        torch.testing.assert_close(run(forward, tokens), output)
        assert hook.held == tokens
        for row, found in enumerate(hook.read(range(tokens))):
            for point in POINTS:
                np.testing.assert_allclose(found[point], states[point][row], rtol=1e-6, atol=1e-6)


def test_a_tapped_model_computes_the_same() -> None:
    """To the bit, and in its own dtype."""
    import torch

    from npu_conformance.engines.hook import install

    plain, model = tiny_model().bfloat16(), tiny_model().bfloat16()
    assert install(model, rows=4) is not None

    assert torch.equal(run(plain, 7), run(model, 7))


def test_the_two_terms_are_added_in_float32() -> None:
    """What bfloat16 cannot hold of their sum is not lost."""
    import torch

    from npu_conformance.engines.hook import install

    model = tiny_model().bfloat16()
    hook = install(model, rows=4)
    assert hook is not None
    terms: list[Any] = []
    model[0].layers[0].register_forward_hook(lambda _module, _inputs, output: terms.extend(t.float() for t in output))
    run(model, 2)

    hidden, residual = terms
    assert torch.equal(torch.tensor(hook.read([1])[0]["model.layers.0"]), (hidden + residual)[1])


def test_more_tokens_than_rows_keep_the_first() -> None:
    """And never count as more than are held."""
    from npu_conformance.engines.hook import install

    model = tiny_model()
    hook = install(model, rows=3)
    assert hook is not None
    states, _ = expected(8)
    run(model, 8)

    assert hook.held == 3
    np.testing.assert_array_equal(hook.read([2])[0]["model.layers.1"], states["model.layers.1"][2])


def test_a_batch_dimension_counts_tokens() -> None:
    """As vLLM's transformers backend has one."""
    import torch

    from npu_conformance.engines.hook import install

    model = tiny_model()
    hook = install(model, rows=4)
    assert hook is not None
    states, _ = expected(3)
    run(lambda ids: model(ids[None]), 3)

    assert hook.held == 3
    assert torch.equal(torch.tensor([row["final norm"] for row in hook.read([0, 1, 2])]), states["final norm"])


def test_what_was_not_passed_is_not_held() -> None:
    """Before the first pass, and where one layer is left out."""
    import torch

    from npu_conformance.engines.hook import install

    model = tiny_model()
    hook = install(model, rows=4)
    assert hook is not None
    assert hook.held == 0
    with torch.inference_mode():
        model[0].layers[0](torch.zeros(2, WIDTH), None)
        model[0].norm(torch.zeros(2, WIDTH), torch.zeros(2, WIDTH))
    assert hook.held == 0
    run(model, 2)
    assert hook.held == 2


def test_states_of_another_width_are_not_held() -> None:
    """Nor cut to fit."""
    import torch

    import npu_conformance.engines.hook  # noqa: F401 (declares the operator)

    written, states = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 4, WIDTH)
    torch.ops.npu_conformance.hook(written, states, 0, torch.ones(2, WIDTH // 2), None)

    assert (written.item(), states.abs().max().item()) == (0, 0)


def test_a_model_of_another_make_is_not_tapped() -> None:
    """Nor one whose last layers are on another rank."""
    import torch

    from npu_conformance.engines.hook import install, installed

    part = tiny_model()
    part[0].norm = torch.nn.Identity()
    for model in (torch.nn.Linear(2, 2), part):
        assert install(model, rows=4) is None
        assert installed(model) is None


def test_hooks_are_replaced_and_removed() -> None:
    """A model has one hook at most."""
    from npu_conformance.engines.hook import install, installed

    model = tiny_model()
    first, second = install(model, rows=4), install(model, rows=4)
    assert first is not None
    assert second is not None
    run(model, 2)
    assert (first.held, second.held) == (0, 2)
    assert installed(model) is second

    second.remove()
    assert installed(model) is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
