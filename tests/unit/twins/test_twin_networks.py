"""Twins' networks before they learn: what training as short as theirs does not mend must be right from the start."""

import math

import torch

from npu_conformance.twins.networks import new_network
from npu_conformance.twins.recipes import RECIPES, Trained


class Tokenizer:
    """As much of one as a network is made from."""

    eos_token_id = 0
    pad_token_id = 1

    def __len__(self) -> int:
        return 512

    def convert_tokens_to_ids(self, token: str) -> int:
        """Any number does."""
        return len(token)


def test_most_heads_of_a_gated_delta_net_keep_their_state() -> None:
    """Else nothing a twin says would show that an engine lost the state between two chunks of a prompt."""
    recipe = RECIPES["qwen3.5"]
    assert isinstance(recipe, Trained)
    torch.manual_seed(recipe.training.seed)
    network = new_network(recipe, Tokenizer())

    # The share of its state that a head keeps from token to token, where the token itself asks for nothing.
    kept = [
        math.exp(-math.exp(decay) * math.log1p(math.exp(step)))
        for module in network.modules()
        if hasattr(module, "A_log")
        for decay, step in zip(module.A_log.tolist(), module.dt_bias.tolist(), strict=True)
    ]

    assert len(kept) == 3 * 4
    assert sum(share**16 > 0.1 for share in kept) > len(kept) / 2


def test_sizes_of_a_mixture_cannot_stand_in_each_others_place() -> None:
    """Else an engine that takes one for another would compute the same."""
    recipe = RECIPES["qwen2-moe"]
    assert isinstance(recipe, Trained)
    network = new_network(recipe, Tokenizer())
    config = network.config

    sizes = [
        config.num_experts,
        config.num_experts_per_tok,
        config.moe_intermediate_size,
        config.shared_expert_intermediate_size,
        config.intermediate_size,
        config.hidden_size,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.hidden_size // config.num_attention_heads,
    ]
    assert len(set(sizes)) == len(sizes)
    # vLLM's class takes heads of hidden over heads, whatever config.json says.
    assert config.head_dim == config.hidden_size // config.num_attention_heads
    routers = [module.weight.detach() for name, module in network.named_modules() if name.endswith("mlp.gate")]
    assert len(routers) == recipe.layers
    assert all(float(weight.std()) > 0 for weight in routers)
