"""Products in half precision by way of float32: as exact as they were, and only where that is quicker."""

from typing import Any

import pytest

from npu_conformance.engines.reference import products
from npu_conformance.engines.reference.products import Products, products_in, rounded_products


@pytest.fixture(params=["bfloat16", "float16"])
def dtype(request: pytest.FixtureRequest) -> str:
    """A half-precision dtype."""
    return str(request.param)


def operands(dtype: str, *shapes: tuple[int, ...]) -> list[Any]:
    """Random tensors."""
    import torch

    torch.manual_seed(3)
    return [torch.randn(shape).to(getattr(torch, dtype)) for shape in shapes]


@pytest.mark.parametrize("way", ["float32", "own"])
def test_a_product_is_rounded_once(dtype: str, way: Products) -> None:
    """It is the exact one in the nearest value of the dtype, but for sums on the border between two."""
    import torch

    values, weight, bias = operands(dtype, (40, 96), (64, 96), (64,))
    with rounded_products(way), torch.inference_mode():
        found = torch.nn.functional.linear(values, weight, bias=bias)
        attended = values @ weight.T

    assert found.dtype == attended.dtype == getattr(torch, dtype)
    for result, exact in (
        (found, values.double() @ weight.double().T + bias.double()),
        (attended, values.double() @ weight.double().T),
    ):
        nearest = exact.to(result.dtype)
        assert (result != nearest).float().mean() < 0.01
        assert torch.allclose(result.double(), exact, rtol=torch.finfo(result.dtype).eps, atol=1e-4)


def test_they_are_computed_in_float32_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """Within the context only, and nothing else of a model is."""
    import torch

    seen: list[Any] = []

    class Layer(torch.nn.Linear):  # type: ignore[misc]
        def forward(self, values: Any) -> Any:
            product = torch.nn.functional.linear(values, self.weight)
            seen.append(getattr(product, "dtype", None))
            return product * 3

    asked: list[Any] = []
    to_float = torch.Tensor.float

    def noted(tensor: Any) -> Any:
        asked.append(tensor.dtype)
        return to_float(tensor)

    monkeypatch.setattr(torch.Tensor, "float", noted)
    (values,) = operands(dtype, (4, 8))
    layer = Layer(8, 8).to(values.dtype)
    with torch.inference_mode():
        layer(values)
        assert asked == []
        with rounded_products("float32"):
            layer(values)
        assert asked == [values.dtype, values.dtype]
        with rounded_products("own"):
            layer(values)
    assert len(asked) == 2
    assert seen == [values.dtype] * 3


def test_float32_is_taken_where_the_processor_has_no_such_products(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """And never for float32 itself."""
    monkeypatch.setattr(products, "computes_in", lambda asked: asked != dtype)

    assert (products_in(dtype), products_in("float32")) == ("float32", "own")
