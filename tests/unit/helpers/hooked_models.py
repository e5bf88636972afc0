"""A tiny decoder as vLLM makes them, for tests of the hook."""

from collections.abc import Callable
from typing import Any

POINTS = ("embedding", "model.layers.0", "model.layers.1", "final norm")
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
    """States by point [tokens, WIDTH] and output of the untapped model, read off by plain hooks."""
    model = tiny_model()
    decoder, seen = model[0], {}

    def embedded(_module: Any, _inputs: Any, output: Any) -> None:
        seen[POINTS[0]] = output.clone()

    decoder.embed_tokens.register_forward_hook(embedded)
    for point, layer in zip(POINTS[1:], decoder.layers, strict=False):
        layer.register_forward_hook(lambda _module, _inputs, output, point=point: seen.update({point: sum(output)}))
    output = run(model, tokens)
    return seen | {POINTS[-1]: output}, output
