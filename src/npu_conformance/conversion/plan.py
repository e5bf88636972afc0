"""What is made of a quantised checkpoint: which tensors, of what dtype, and their values block by block."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from npu_conformance.checkpoints.checkpoint import Checkpoint, some
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.checkpoints.quantisation.place import KEYS, find_legacy
from npu_conformance.checkpoints.quantisation.scales import is_kv_scale
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.config.limits import Dtype
from npu_conformance.conversion import ternary
from npu_conformance.conversion.formats import find_of, methods
from npu_conformance.conversion.rounding import Rounding
from npu_conformance.conversion.scheme import Quantised, Scheme, Stored
from npu_conformance.conversion.shards import ITEM_SIZES, Output
from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    import torch

DTYPE_KEYS = ("dtype", "torch_dtype")
"""As transformers reads them, where both are there."""
"""Of config.json; the older name first, which newer libraries read as well."""

_STORED_DTYPES: dict[Dtype, str] = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
# What an engine would cast as it loads. A tensor in float32 beside these, such as Qwen3.5's A_log, is so on purpose.
_CAST = ("F16", "BF16")
# A block takes 8 MB in float32, and reading it a few times that; a whole embedding can take 600 MB.
_BLOCK_ELEMENTS = 1 << 21


@dataclass(frozen=True)
class Conversion:
    """A checkpoint and what is to be made of it."""

    checkpoint: Checkpoint
    scheme: Scheme
    dtype: Dtype
    """Of the weights that were quantised, and of other tensors of 16-bit floats."""

    def outputs(self) -> list[Output]:
        """The tensors to write, in the order they are stored in.

        Raises:
            CheckpointError: one is of a dtype that only a quantised tensor has, and the scheme does not explain it.
        """
        homes = {stored.parts[0]: name for name, stored in self.scheme.weights.items()}
        consumed = {part for stored in self.scheme.weights.values() for part in stored.parts} | self.scheme.unused
        outputs = []
        for name, tensor in self.checkpoint.tensors.items():
            if name in homes:
                shape = self.scheme.weights[homes[name]].shape
                outputs.append(Output(homes[name], shape, _STORED_DTYPES[self.dtype]))
            elif name not in consumed:
                outputs.append(Output(name, tensor.shape, self._dtype_of_other(name, tensor)))
        twice = [name for name, count in Counter(output.name for output in outputs).items() if count > 1]
        if twice:
            raise CheckpointError(
                f"{self.checkpoint.folder}: {some(twice)} is stored both quantised and plain: engines take one of them "
                "without a word; download the model again"
            )
        return outputs

    def check(self) -> None:
        """Read everything but the codes of quantised weights, which are most of a checkpoint.

        Raises:
            CheckpointError: something is damaged, or parts of a weight do not fit each other.
        """
        for output in self.outputs():
            stored = self.scheme.weights.get(output.name)
            if stored is None:
                self._check_finite(output.name)
            else:
                self._open(stored)

    def _check_finite(self, name: str) -> None:
        for block in load_tensor(self.checkpoint, name).reshape(-1).split(_BLOCK_ELEMENTS):
            if not bool(block.isfinite().all()):
                raise CheckpointError(
                    f"{self.checkpoint.tensors[name].file}: {name} holds NaN or infinity: download the model again"
                )

    def _open(self, stored: Stored) -> Quantised:
        with self._naming(stored.parts[0]):
            if 0 in stored.shape:
                raise CheckpointError(f"its shape is {list(stored.shape)}, expected sizes above zero")
            return stored.read(*(load_tensor(self.checkpoint, part) for part in stored.parts))

    def _dtype_of_other(self, name: str, tensor: Tensor) -> str:
        if tensor.dtype not in ITEM_SIZES:
            raise CheckpointError(
                f"{tensor.file}: {name} is stored as {tensor.dtype}, which no {self.scheme.name} checkpoint needs: "
                "this layout cannot be converted"
            )
        return _STORED_DTYPES[self.dtype] if tensor.dtype in _CAST else tensor.dtype

    def blocks(self, output: Output, account: list[dict[str, Any]]) -> Iterator["torch.Tensor"]:
        """A tensor's values in order, a block at a time.

        Args:
            output: one of `outputs`.
            account: gets an entry after the last block, unless the tensor is left as it is.

        Raises:
            CheckpointError: the tensor cannot be read, is damaged, or does not fit into the dtype.
        """
        stored = self.scheme.weights.get(output.name)
        return self._others(output, account) if stored is None else self._weights(output, stored, account)

    def _weights(self, output: Output, stored: Stored, account: list[dict[str, Any]]) -> Iterator["torch.Tensor"]:
        rounding = self._rounding()
        weight = self._open(stored)
        with self._naming(stored.parts[0]):
            *_, columns = output.shape
            rows = math.prod(output.shape) // columns
            step = max(1, _BLOCK_ELEMENTS // columns)
            for start in range(0, rows, step):
                yield rounding.product(*weight.rows(start, min(start + step, rows)))
        account.append(self._entry(output, self.scheme.name) | weight.about | rounding.figures())

    def _others(self, output: Output, account: list[dict[str, Any]]) -> Iterator["torch.Tensor"]:
        import torch

        blocks = load_tensor(self.checkpoint, output.name).reshape(-1).split(_BLOCK_ELEMENTS)
        if output.dtype == self.checkpoint.tensors[output.name].dtype or not output.size:
            yield from blocks
            return
        rounding = self._rounding()
        with self._naming(output.name):
            for block in blocks:
                yield rounding.round(block.to(torch.float32))
        account.append(self._entry(output, "cast") | rounding.figures())

    def _rounding(self) -> Rounding:
        import torch

        return Rounding(getattr(torch, self.dtype))

    def _entry(self, output: Output, scheme: str) -> dict[str, Any]:
        return {"name": output.name, "scheme": scheme, "shape": list(output.shape)}

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Say in errors which tensor they are about."""
        try:
            yield
        except CheckpointError as error:
            raise CheckpointError(f"{self.checkpoint.tensors[name].file}: {name}: {error}") from error


def plan(checkpoint: Checkpoint, dtype: Dtype | None, ternary_group_size: int | None) -> Conversion:
    """Find out how a checkpoint is quantised.

    Args:
        checkpoint: an inspected folder.
        dtype: see `Conversion`; None: the config's.
        ternary_group_size: see `ternary.fuse`; None for a checkpoint of another kind.

    Raises:
        CheckpointError: it is not quantised, or in a way that cannot be converted, or the config has no dtype.
    """
    scheme = _find_scheme(checkpoint, ternary_group_size)
    return Conversion(checkpoint, scheme, dtype or _configured_dtype(checkpoint))


def refuse_unconvertible(checkpoint: Checkpoint, dtype: Dtype) -> None:
    """Say what `convert` would say of a checkpoint's config and headers.

    Args:
        checkpoint: an examined folder.
        dtype: that is asked for.

    Raises:
        CheckpointError: it refuses the checkpoint.
    """
    plan(checkpoint, dtype, None).outputs()


def _find_scheme(checkpoint: Checkpoint, ternary_group_size: int | None) -> Scheme:
    announced = checkpoint.announced or find_legacy(checkpoint.folder)
    if announced is None:
        if ternary_group_size is None:
            raise CheckpointError(
                f"{checkpoint.folder / 'config.json'}: {KEYS[0]}: none, so there is nothing to convert; for weights "
                "trained to be ternary give --ternary-group-size"
            )
        return ternary.find(checkpoint, ternary_group_size)
    where = str(checkpoint.folder / announced.where)
    method = announced.options.get("quant_method")
    if ternary_group_size is not None:
        raise CheckpointError(f"{where}: quant_method is {method!r}, so --ternary-group-size means nothing: drop it")
    if method in methods():
        scheme = find_of(method)(checkpoint, announced.options, where)
        return replace(scheme, unused=scheme.unused | set(filter(is_kv_scale, checkpoint.tensors)))
    raise CheckpointError(
        f"{where}: quant_method is {method!r}, expected one of {', '.join(methods())}: no other can be converted; take "
        "the model's unquantised weights"
    )


def _configured_dtype(checkpoint: Checkpoint) -> Dtype:
    for part in (checkpoint.config, checkpoint.text_config):
        for key in DTYPE_KEYS:
            if part.get(key) in get_args(Dtype):
                return cast("Dtype", part[key])
    raise CheckpointError(
        f"{checkpoint.folder / 'config.json'}: {' or '.join(DTYPE_KEYS)}: expected one of "
        f"{', '.join(get_args(Dtype))}, found none of them: give --dtype"
    )


def total(account: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all weights that were quantised, taken together.

    Args:
        account: as `Conversion.blocks` filled it.
    """
    weights = [entry for entry in account if "mean_scale" in entry]
    sizes = [math.prod(entry["shape"]) for entry in weights]
    squares = [size * entry["rms"] ** 2 for size, entry in zip(sizes, weights, strict=True)]
    errors = [square * entry["relative_rms_error"] ** 2 for square, entry in zip(squares, weights, strict=True)]
    scales = [size * entry["mean_scale"] for size, entry in zip(sizes, weights, strict=True)]
    return {
        "weights": len(weights),
        "parameters": sum(sizes),
        "min_scale": min(entry["min_scale"] for entry in weights),
        "mean_scale": sum(scales) / sum(sizes),
        "max_scale": max(entry["max_scale"] for entry in weights),
        "max_absolute_error": max(entry["max_absolute_error"] for entry in weights),
        "relative_rms_error": math.sqrt(sum(errors) / sum(squares)) if any(squares) else 0.0,
    }
