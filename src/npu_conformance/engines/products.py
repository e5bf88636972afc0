"""Products in a half-precision dtype on a processor that has no instructions for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

Products = Literal["float32", "own"]
"""The dtype in which a model's products are computed, before they are rounded to its own."""


@cache
def products_in(dtype: str) -> Products:
    """How products of a dtype are best computed here, by trying both ways: in float32 where that halves the time.

    An accelerator's matrix units multiply values of 16 bits exactly, add the products in float32 and round the sum
    once. Processors without such instructions emulate them, in a multiple of float32's time; there the values are made
    float32 first, and the sum is rounded as before.

    Args:
        dtype: of the model, by torch's name.
    """
    if dtype == "float32":
        return "own"
    import torch

    left, right = (torch.ones(256, 256, dtype=getattr(torch, dtype)) for _ in range(2))

    def product() -> None:
        torch.nn.functional.linear(left, right)

    def by_float32() -> None:
        with rounded_products("float32"):
            product()

    return "float32" if _seconds(by_float32) * 2 < _seconds(product) else "own"


def _seconds(work: Callable[[], None]) -> float:
    work()
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


@contextmanager
def rounded_products(products: Products) -> Iterator[None]:
    """Within it, products of half-precision tensors are computed so (see `products_in`)."""
    if products == "own":
        yield
        return
    with _in_float32():
        yield


def _in_float32() -> Any:
    """A mode of torch in which products of half-precision tensors are computed in float32 and rounded once."""
    import torch
    from torch.overrides import TorchFunctionMode

    functional = torch.nn.functional
    products = {functional.linear, torch.conv1d, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm}
    halves = {torch.bfloat16, torch.float16}

    def widened(value: Any) -> Any:
        return value.float() if isinstance(value, torch.Tensor) and value.dtype in halves else value

    class InFloat32(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            named = kwargs or {}
            if func not in products or not args or args[0].dtype not in halves:
                return func(*args, **named)
            wide = func(*map(widened, args), **{name: widened(value) for name, value in named.items()})
            return wide.to(args[0].dtype)

    return InFloat32()
