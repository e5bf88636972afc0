"""Hidden states are read off at the right places, from decoders as vLLM and as transformers make them."""

from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.reference.scoring import hidden_states


@pytest.fixture(scope="module")
def model() -> Any:
    """A tiny Qwen3 of transformers."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def test_transformers_own_hidden_states_are_what_is_read(model: Any) -> None:
    """All but the last layer's, which transformers does not hand out before the final norm."""
    import torch

    prompts = [(1, 2, 3), (4, 5, 6, 7)]
    found = hidden_states(model, prompts)
    assert found is not None
    assert found.points == ("embedding", "model.layers.0", "model.layers.1", "model.layers.2", "final norm")
    for index, ids in enumerate(prompts):
        with torch.inference_mode():
            expected = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        for point, state in zip((0, 1, 2, 4), expected, strict=True):
            np.testing.assert_array_equal(found.states[index, point], state[0, -1].numpy())


def test_hooks_are_gone_afterwards(model: Any) -> None:
    """Also where a forward pass fails."""
    hooks = [hooks for module in model.modules() for hooks in (module._forward_hooks, module._forward_pre_hooks)]
    before = list(map(len, hooks))
    with pytest.raises(IndexError):
        hidden_states(model, [(1, 2), (99,)])

    assert list(map(len, hooks)) == before


def decoder_of(*, scaled_inside: bool) -> Any:
    """A decoder whose embedding is scaled by four, in its module as transformers' Gemma or after it as vLLM's."""
    import torch

    class Embedding(torch.nn.Embedding):  # type: ignore[misc]
        def forward(self, ids: Any) -> Any:
            return super().forward(ids) * (4 if scaled_inside else 1)

    class Layer(torch.nn.Module):  # type: ignore[misc]
        def forward(self, _positions: Any, hidden_states: Any, _residual: Any) -> Any:
            return torch.full_like(hidden_states, 2.0), torch.full_like(hidden_states, 3.0)

    class Norm(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def forward(self, hidden: Any, residual: Any) -> Any:
            return hidden * 10, residual

    class Decoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed_tokens = Embedding(4, 2)
            self.layers = torch.nn.ModuleList([Layer()])
            self.norm = Norm()

        def forward(self, ids: Any) -> Any:
            hidden = self.embed_tokens(ids) * (1 if scaled_inside else 4)
            return self.norm(*self.layers[0](torch.arange(len(ids)), hidden, None))[0]

    torch.manual_seed(1)
    return Decoder()


def states_of(decoder: Any) -> dict[str, list[float]]:
    """Of the second of two tokens."""
    import torch

    from npu_conformance.engines.hook import install

    hook = install(decoder, rows=2)
    assert hook is not None
    with torch.inference_mode():
        decoder(torch.tensor([1, 2]))
    assert hook.held == 2
    return hook.read([1])[0]


def test_a_layer_in_two_terms_is_their_sum() -> None:
    """VLLM hands the residual on beside the layer's own output; its final norm hands on a pair that is no sum."""
    found = states_of(decoder_of(scaled_inside=False))

    assert found["model.layers.0"] == [5.0, 5.0]
    assert found["final norm"] == [20.0, 20.0]


def test_the_embedding_is_what_enters_the_first_layer() -> None:
    """Wherever an engine scales it: the same model must not look like another."""
    inside, after = (states_of(decoder_of(scaled_inside=inside)) for inside in (True, False))

    assert inside["embedding"] == after["embedding"]
    assert inside["embedding"] != [0.0, 0.0]


def test_a_model_of_another_make_is_not_tapped() -> None:
    """Rather than hooked at the wrong places."""
    import torch

    assert hidden_states(torch.nn.Linear(2, 2), [(1, 2)]) is None
