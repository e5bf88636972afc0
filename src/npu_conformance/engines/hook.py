"""A decoder's hidden states in static buffers, written by an operator that compiled code and device graphs contain.

A Python hook is called as a model is traced or captured and never again; what it leaves in the graph is replayed.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import torch

from npu_conformance.engines.hidden import EMBEDDING, HOOK_ROWS, entering, find_decoder, points_of, terms

_ATTRIBUTE = "_npu_conformance_tap"


class Hook:
    """What a decoder's last forward pass left at each point."""

    def __init__(self, decoder: Any, rows: int) -> None:
        """Hook a decoder whose final norm has a weight.

        Args:
            decoder: has `embed_tokens`, `layers` and `norm`.
            rows: tokens of a forward pass that are kept, from its first; float32 [points, rows, hidden] is allocated.
        """
        places = points_of(decoder)
        like = {"device": decoder.norm.weight.device}
        self.points = tuple(point for point, _ in places)
        self._states = torch.zeros(len(places), rows, decoder.norm.weight.numel(), dtype=torch.float32, **like)
        self._written = torch.zeros(len(places), dtype=torch.int64, **like)
        self._handles = [self._hook(index, module) for index, (_, module) in enumerate(places)]
        self._decoder = decoder
        setattr(decoder, _ATTRIBUTE, self)

    def _hook(self, index: int, module: Any) -> Any:
        point, states, written = self.points[index], self._states, self._written

        def before(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            torch.ops.npu_conformance.hook(written, states, index, entering(inputs, named), None)

        def after(_module: Any, _inputs: Any, output: Any) -> None:
            torch.ops.npu_conformance.hook(written, states, index, *terms(point, output))

        if point == EMBEDDING:
            return module.register_forward_pre_hook(before, with_kwargs=True)
        return module.register_forward_hook(after)

    @property
    def held(self) -> int:
        """Tokens of the last forward pass that every point holds: 0 where one was not passed."""
        return int(self._written.min())

    def read(self, rows: Sequence[int]) -> list[dict[str, list[float]]]:
        """States by point at each of these tokens of the last forward pass; they must be `held`."""
        states = self._states[:, list(rows)].cpu().transpose(0, 1).tolist()
        return [dict(zip(self.points, row, strict=True)) for row in states]

    def remove(self) -> None:
        """Take the hooks out again; a graph that was compiled or captured with them goes on writing."""
        for handle in self._handles:
            handle.remove()
        delattr(self._decoder, _ATTRIBUTE)


def install(model: Any, rows: int) -> Hook | None:
    """Hook a model, in place of the hook it may have; before it is compiled, or the compiled code writes nothing.

    Args:
        model: a vLLM or transformers model.
        rows: tokens of a forward pass that are kept, from its first.

    Returns:
        None where the model has no decoder of the usual make, or this rank has a part of its layers only.
    """
    decoder = find_decoder(model)
    if decoder is None or getattr(decoder.norm, "weight", None) is None:
        return None
    if (before := installed(model)) is not None:
        before.remove()
    return Hook(decoder, rows)


def installed(model: Any) -> Hook | None:
    """The hook of a model."""
    return getattr(find_decoder(model), _ATTRIBUTE, None)


def register() -> None:
    """Hook the main model as it is loaded, if the environment asks for it.

    Called in each of vLLM's worker processes before it loads a model.
    """
    if not (rows := os.environ.get(HOOK_ROWS)):
        return
    from vllm.model_executor.model_loader.base_loader import BaseModelLoader

    # Its key knows nothing of hooks: code compiled without the hook would be taken for ours, and ours for theirs.
    os.environ["VLLM_DISABLE_COMPILE_CACHE"] = "1"
    BaseModelLoader.load_model = _hooking(BaseModelLoader.load_model, int(rows))


def _hooking(load: Any, rows: int) -> Any:
    """A function that returns a model, wrapped to hook the first that has a decoder: the main one, no drafter."""
    hooked: list[Hook] = []

    @functools.wraps(load)
    def loading(*args: Any, **kwargs: Any) -> Any:
        model = load(*args, **kwargs)
        if not hooked and (hook := install(model, rows)) is not None:
            hooked.append(hook)
        return model

    return loading


def _write(
    written: torch.Tensor, states: torch.Tensor, point: int, hidden: torch.Tensor, residual: torch.Tensor | None
) -> None:
    """Keep one point's states, as many tokens as there is room for; nothing in here may wait for the device.

    Args:
        written: int64 [points], how many tokens are kept of each point.
        states: float32 [points, rows, hidden].
        point: its index in both.
        hidden: [..., hidden] of any floating dtype; all but the last dimension count tokens.
        residual: what to add to it, of the same shape.
    """
    if hidden.shape[-1] != states.shape[-1]:
        return
    hidden = hidden.flatten(0, -2)
    kept = states[point, : len(hidden)]
    kept.copy_(hidden[: len(kept)])
    if residual is not None:
        kept.add_(residual.flatten(0, -2)[: len(kept)])
    written[point].fill_(len(kept))


# `written` is declared as changed, so that no compiler leaves the operator out. `states` is not, though it is: where a
# backend does not undo functionalisation, as on Ascend, each point would copy all of it, and no graph ever reads it.
torch.library.custom_op("npu_conformance::hook", _write, mutates_args=("written",))
