"""Hidden states are read off at the right places, from decoders as vLLM and as transformers make them."""

from typing import Any

import numpy as np
import pytest

from npu_conformance.engines.hidden import tapped
from npu_conformance.engines.scoring import hidden_states


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
    assert found.points == ("embedding", "layer 1", "layer 2", "layer 3", "final norm")
    for index, ids in enumerate(prompts):
        with torch.inference_mode():
            expected = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        for point, state in zip((0, 1, 2, 4), expected, strict=True):
            np.testing.assert_array_equal(found.states[index, point], state[0, -1].numpy())


def test_hooks_are_gone_afterwards(model: Any) -> None:
    """Whatever happens within."""
    before = [len(module._forward_hooks) for module in model.modules()]
    with pytest.raises(ZeroDivisionError), tapped(model):
        1 / 0  # noqa: B018

    assert [len(module._forward_hooks) for module in model.modules()] == before


def test_a_layer_in_two_terms_is_their_sum() -> None:
    """VLLM hands the residual on beside the layer's own output; its final norm hands on a pair that is no sum."""
    import torch

    class Decoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed_tokens = torch.nn.Embedding(4, 2)
            self.layers = torch.nn.ModuleList([Layer()])
            self.norm = Norm()

        def forward(self, ids: Any) -> Any:
            return self.norm(*self.layers[0](self.embed_tokens(ids), None))[0]

    class Layer(torch.nn.Module):  # type: ignore[misc]
        def forward(self, hidden: Any, _residual: Any) -> Any:
            return torch.full_like(hidden, 2.0), torch.full_like(hidden, 3.0)

    class Norm(torch.nn.Module):  # type: ignore[misc]
        def forward(self, hidden: Any, residual: Any) -> Any:
            return hidden * 10, residual

    decoder = Decoder()
    with tapped(decoder) as seen:
        decoder(torch.tensor([1, 2]))

    assert seen is not None
    assert seen["layer 1"].unique().tolist() == [5.0]
    assert seen["final norm"].unique().tolist() == [20.0]


def test_a_model_of_another_make_is_not_tapped() -> None:
    """Rather than tapped at the wrong places."""
    import torch

    with tapped(torch.nn.Linear(2, 2)) as seen:
        assert seen is None
