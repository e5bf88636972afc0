"""Faults of what vLLM shows to processors of logits."""

from collections.abc import Callable
from typing import Any


def rows_exchanged() -> None:
    """Processors of logits are shown the first two requests' rows the wrong way round; what is sampled from is not."""

    def exchanged(logits: Any) -> Any:
        import torch

        return logits[torch.tensor([1, 0, *range(2, len(logits))])] if len(logits) > 1 else logits

    _patch_processors(exchanged, exchanged)


def rows_late() -> None:
    """Processors of logits are shown those of the step before; what they change is changed."""
    before: list[Any] = []

    def late(logits: Any) -> Any:
        before.append(logits.clone())
        shown = before[-2:][0]
        return shown if shown.shape == logits.shape else logits

    _patch_processors(late, None)


def _patch_processors(show: Callable[[Any], Any], back: Callable[[Any], Any] | None) -> None:
    """Let `show` choose what processors of logits are shown; of what they give, only what they changed counts.

    `back` undoes `show`; without it a change counts where it was made.
    """
    from vllm.v1.sample.sampler import Sampler

    original = Sampler.apply_logits_processors

    def apply(self: Any, logits: Any, *args: Any, **named: Any) -> Any:
        shown = show(logits).clone()
        given = original(self, shown.clone(), *args, **named)
        changed = given != shown
        if back is not None:
            changed, given = back(changed), back(given)
        return given.where(changed, logits)

    Sampler.apply_logits_processors = apply
