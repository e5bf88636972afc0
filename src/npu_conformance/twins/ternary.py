"""Ternary weights learnt with quantisation in the loop, and fused into plain Linear weights afterwards."""

from typing import Any


def ternary_while_training(network: Any, group: int) -> None:
    """Let every Linear of the layers compute with ternary weights, while gradients reach the latent ones."""
    from torch.nn.utils.parametrize import register_parametrization

    for linear in _linears(network):
        register_parametrization(linear, "weight", _straight_through(group))


def fused(network: Any) -> None:
    """Replace the latent weights by the ternary ones they stand for."""
    from torch.nn.utils.parametrize import remove_parametrizations

    for linear in _linears(network):
        remove_parametrizations(linear, "weight", leave_parametrized=True)


def _linears(network: Any) -> list[Any]:
    import torch

    return [module for module in network.model.layers.modules() if isinstance(module, torch.nn.Linear)]


def _straight_through(group: int) -> Any:
    import torch

    class StraightThrough(torch.nn.Module):
        """Forward: each group's weights rounded to -a, 0 or a, a their mean magnitude. Backward: as if unchanged.

        The quantiser is BitNet b1.58's (arXiv 2402.17764), with a scale a group of input channels.
        """

        def forward(self, latent: Any) -> Any:
            grouped = latent.unflatten(1, (-1, group))
            scale = grouped.abs().mean(dim=2, keepdim=True).clamp_min(1e-6)
            ternary = ((grouped / scale).round().clamp(-1, 1) * scale).flatten(1)
            return latent + (ternary - latent).detach()

    return StraightThrough()
