"""Looks at what a decoder's attentions and MLPs are given and give, where the model runs from Python."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npu_conformance.engines.hidden import entering, find_decoder
from npu_conformance.traces.module_states import ModuleStates

_ATTENTION = ("self_attn", "linear_attn")
_NAMES = (*_ATTENTION, "mlp")


def modules_of(model: Any) -> list[tuple[str, Any]]:
    """Attentions and MLPs by point, `model.layers.0.self_attn`, in the order they are passed.

    Nothing where the model has no decoder of the usual make, or a layer has none of them, as one of another rank.
    """
    decoder, found = find_decoder(model), []
    for index, layer in enumerate([] if decoder is None else decoder.layers):
        there = [(f"model.layers.{index}.{name}", module) for name in _NAMES if (module := _part(layer, name))]
        if not there:
            return []
        found += there
    return found


def _part(layer: Any, name: str) -> Any:
    part = getattr(layer, name, None)
    return part if callable(getattr(part, "register_forward_hook", None)) else None


def looks_back(point: str) -> bool:
    """Whether what a module gives at a token depends on what it was given at earlier ones."""
    return point.endswith(_ATTENTION)


def what_is_given(inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The hidden states that a module is given [..., tokens, hidden]."""
    return entering(inputs, named)


def what_it_gives(output: Any, named: dict[str, Any]) -> Any:
    """Those that it gives: what it returns, the first of several, or what it writes into."""
    if output is None:
        return named.get("output")
    return output[0] if isinstance(output, tuple) else output


class Watch:
    """Keeps what a model's modules are given and give, pass by pass."""

    def __init__(self, model: Any) -> None:
        """Hook the model; `points` is empty where it cannot be."""
        self.points = tuple(point for point, _ in modules_of(model))
        self._given: dict[str, list[Any]] = {}
        self._gave: dict[str, list[Any]] = {}
        self._handles = [handle for point, module in modules_of(model) for handle in self._hook(point, module)]
        self.clear()

    def _hook(self, point: str, module: Any) -> Iterator[Any]:
        def before(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            states = what_is_given(inputs, named)
            if states is not None:
                # Now: experts write into what they are given.
                self._given[point].append(_rows(states, None if looks_back(point) else self._last))

        def after(_module: Any, _inputs: Any, named: dict[str, Any], output: Any) -> None:
            states = what_it_gives(output, named)
            if states is not None:
                self._gave[point].append(_rows(states, self._last))

        yield module.register_forward_pre_hook(before, with_kwargs=True)
        yield module.register_forward_hook(after, with_kwargs=True)

    def clear(self, last: int = 1) -> None:
        """Forget what was seen; from now on keep so many rows at the end of each pass, of attention's inputs all."""
        self._last = last
        self._given, self._gave = ({point: [] for point in self.points} for _ in range(2))

    def seen(self, ids: Sequence[int], judged: int) -> ModuleStates | None:
        """What was seen of a sequence that ran alone; None where the modules did not run from Python, or in pieces.

        Args:
            ids: tokens that were fed.
            judged: rows at its end.
        """
        given, gave = ({point: _joined(rows) for point, rows in side.items()} for side in (self._given, self._gave))
        lengths = {point: len(ids) if looks_back(point) else judged for point in self.points}
        whole = all(len(given[point]) == lengths[point] and len(gave[point]) == judged for point in self.points)
        return ModuleStates(tuple(ids), given, gave) if self.points and whole else None

    def remove(self) -> None:
        """Take the hooks out again."""
        for handle in self._handles:
            handle.remove()


def _rows(states: Any, last: int | None) -> Any:
    rows = states.detach().flatten(0, -2)
    return (rows if last is None else rows[-last:]).to("cpu", copy=True)


def _joined(passes: Sequence[Any]) -> np.ndarray:
    import torch

    return torch.cat(list(passes)).float().numpy() if passes else np.empty((0, 0), dtype=np.float32)
