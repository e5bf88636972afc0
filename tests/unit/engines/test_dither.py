"""Noise below a dtype's precision: another floor run of the same model, and always one."""

from typing import Any

from npu_conformance.engines.reference.dither import dithered
from tests.unit.helpers.hooked_models import run


def embedding_only() -> Any:
    """A model that is its embeddings."""
    import torch

    class Model(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(50, 8)

        def get_input_embeddings(self) -> Any:
            """As models of transformers have it."""
            return self.words

        def forward(self, ids: Any) -> Any:
            return self.words(ids)

    torch.manual_seed(3)
    return Model().eval()


def test_a_seed_is_a_realisation_of_its_own() -> None:
    """The same again, another for another seed, and none without one or afterwards."""
    model = embedding_only()
    exact = run(model, 5)
    with dithered(model, 1):
        first, again = run(model, 5), run(model, 5)
    with dithered(model, 2):
        second = run(model, 5)
    with dithered(model, None):
        assert run(model, 5).equal(exact)

    assert first.equal(again)
    assert not first.equal(exact)
    assert not first.equal(second)
    assert run(model, 5).equal(exact)


def test_it_is_below_the_precision() -> None:
    """No value is off by more than a unit in the last place, and some are."""
    import torch

    model = embedding_only().to(torch.bfloat16)
    exact = run(model, 20).float()
    with dithered(model, 1):
        off = (run(model, 20).float() - exact).abs() / exact.abs()

    assert 0 < float(off.max()) <= torch.finfo(torch.bfloat16).eps
    assert 0.1 < float((off > 0).float().mean()) < 0.6
