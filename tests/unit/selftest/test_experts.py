"""Faults of experts, put into a layer that routes as vLLM's do, and taken out again."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from npu_conformance.selftest.kinds import experts
from npu_conformance.selftest.live import Inject, Live

HIDDEN, EXPERTS, CHOSEN, TOKENS = 8, 6, 2, 40


class Gate(torch.nn.Linear):  # type: ignore[misc]
    """A linear layer as vLLM's: with a bias beside its output."""

    def forward(self, hidden: Any) -> Any:
        """Logits of experts [tokens, experts]."""
        return super().forward(hidden), None


class Router:
    """Top-k of a softmax."""

    def __init__(self) -> None:
        self.renormalize = False
        self.global_num_experts = EXPERTS

    def select_experts(self, logits: Any) -> tuple[Any, Any]:
        """Weights and ids [tokens, experts a token]."""
        weights, ids = logits.softmax(dim=-1).topk(CHOSEN, dim=-1)
        return weights / weights.sum(dim=-1, keepdim=True) if self.renormalize else weights, ids.int()


class Mixture(torch.nn.Module):  # type: ignore[misc]
    """Routed experts and a shared one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.shared_expert = Gate(HIDDEN, EXPERTS), torch.nn.Linear(HIDDEN, HIDDEN)
        self.weights = torch.nn.Parameter(torch.randn(EXPERTS, HIDDEN, HIDDEN))
        self.experts = SimpleNamespace(router=Router())

    def forward(self, hidden: Any) -> Any:
        """Hidden states [tokens, hidden]."""
        weights, ids = self.experts.router.select_experts(self.gate(hidden)[0])
        routed = torch.einsum("tkoi,ti->tko", self.weights[ids.long()], hidden)
        return (routed * weights[..., None]).sum(dim=1) + self.shared_expert(hidden)


class Layer(torch.nn.Module):  # type: ignore[misc]
    """A decoder's layer."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = Mixture()

    def forward(self, hidden: Any) -> Any:
        """Hidden states [tokens, hidden]."""
        return hidden + self.mlp(hidden)


class Decoder(torch.nn.Module):  # type: ignore[misc]
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens, self.norm = torch.nn.Embedding(TOKENS, HIDDEN), torch.nn.Identity()
        self.layers = torch.nn.ModuleList([Layer(), Layer()])

    def forward(self) -> Any:
        """Hidden states [tokens, hidden]."""
        hidden = self.embed_tokens.weight
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


@pytest.fixture
def live() -> Live:
    """A model in a runner that runs no step."""
    torch.manual_seed(3)
    return Live(SimpleNamespace(model=torch.nn.Sequential(Decoder()), execute_model=lambda _: None))


def under(live: Live, inject: Inject, strength: float) -> Any:
    """What the model computes with a fault."""
    with torch.no_grad(), live.faulty(inject, strength):
        return live.decoder()


@pytest.mark.parametrize(
    ("inject", "strength"),
    [
        (experts.experts_exchanged, 1.0),
        (experts.expert_scale, 1.1),
        (experts.expert_left_out, 1.0),
        (experts.expert_capacity, 1.0),
        (experts.expert_weights_normalised, 1.0),
        (experts.router_bits, 4.0),
        (experts.shared_expert_lost, 1.0),
    ],
)
def test_each_changes_something_and_is_over(live: Live, inject: Inject, strength: float) -> None:
    """Not every token where it is one expert's."""
    before = under(live, lambda *_: None, 1.0)

    assert not under(live, inject, strength).equal(before)
    assert under(live, lambda *_: None, 1.0).equal(before)


def test_exchanged_experts_are_as_if_their_weights_were(live: Live) -> None:
    """Of the middle layer."""
    found = under(live, experts.experts_exchanged, 1.0)
    weights = live.layers[1].mlp.weights
    weights.data[[0, 1]] = weights.data[[1, 0]]

    torch.testing.assert_close(found, under(live, lambda *_: None, 1.0))


def test_a_scale_is_one_experts(live: Live) -> None:
    """As if its weights were larger; tokens of others stay."""
    before, found = under(live, lambda *_: None, 1.0), under(live, experts.expert_scale, 2.0)
    live.layers[1].mlp.weights.data[0] *= 2

    torch.testing.assert_close(found, under(live, lambda *_: None, 1.0))
    same = (found == before).all(dim=-1)
    assert 0 < int(same.sum()) < TOKENS


def test_capacity_keeps_those_that_came_first(live: Live) -> None:
    """So many times an equal share of the step's tokens; with room for all, nothing is lost."""
    before = under(live, lambda *_: None, 1.0)
    assert under(live, experts.expert_capacity, float(EXPERTS)).equal(before)

    router, taken = live.layers[0].mlp.experts.router, {}
    with live.faulty(experts.expert_capacity, 1.0):
        weights, ids = router.select_experts(torch.tensor([[9.0, 8, 0, 0, 0, 0]] * 6))
        taken = {expert: weights[ids == expert] for expert in (0, 1)}
    # Two of six tokens: twelve choices over six experts.
    assert [int((one > 0).sum()) for one in taken.values()] == [2, 2]
    assert (taken[0][:2] > 0).all()
