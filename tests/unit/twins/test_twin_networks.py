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
