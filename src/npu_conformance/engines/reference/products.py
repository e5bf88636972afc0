"""Products in a half-precision dtype on a processor that has no instructions for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from npu_conformance.machine.capacity import computes_in

Products = Literal["float32", "own"]
"""The dtype in which a model's products are computed, before they are rounded to its own."""


def products_in(dtype: str) -> Products:
    """How products of a dtype are best computed here: in float32 where the processor has no instructions for it.

    An accelerator's matrix units multiply values of 16 bits exactly, add the products in float32 and round the sum
    once. Processors without such instructions emulate them, in a multiple of float32's time; there the values are made
    float32 first, and the sum is rounded as before.

    Args:
        dtype: of the model, by torch's name.
    """
    return "own" if computes_in(dtype) else "float32"


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
