"""Products in a half-precision dtype on a processor that has no instructions for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def quick_products(dtype: str) -> Iterator[None]:
    """Within it, products of tensors of that dtype are computed the faster way that rounds as often.

    An accelerator's matrix units multiply values of 16 bits exactly, add the products in float32 and round the sum
    once. Processors without such instructions emulate them, in a multiple of the time of float32; there the values are
    made float32 first, and the sum is rounded as before.

    Args:
        dtype: of the model, by torch's name.
    """
    if dtype == "float32" or not _float32_is_faster(dtype):
        yield
        return
    with _in_float32():
        yield


@cache
def _float32_is_faster(dtype: str) -> bool:
    """Whether a product by way of float32 takes less than half the time here, by trying both."""
    import torch

    left, right = (torch.ones(256, 256, dtype=getattr(torch, dtype)) for _ in range(2))

    def product() -> None:
        torch.nn.functional.linear(left, right)

    def by_float32() -> None:
        with _in_float32():
            product()

    return _seconds(by_float32) * 2 < _seconds(product)


def _seconds(work: Any) -> float:
    work()
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


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
            if func not in products or args[0].dtype not in halves:
                return func(*args, **named)
            wide = func(*map(widened, args), **{name: widened(value) for name, value in named.items()})
            return wide.to(args[0].dtype)

    return InFloat32()
