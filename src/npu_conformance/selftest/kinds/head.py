"""Faults of the head: what it reads, and the logits it gives."""

from collections.abc import Callable
from typing import Any

from npu_conformance.selftest.live import Live
from npu_conformance.selftest.precision import in_bits


def head_bits(live: Live, strength: float) -> None:
    """What the head reads is kept in so many bits."""
    live.around(
        live.model, "compute_logits", lambda original, hidden, *rest: original(in_bits(hidden, strength), *rest)
    )


def head_shard(live: Live, strength: float) -> None:
    """The last quarter of the vocabulary has logits that are multiplied."""

    def wrong(logits: Any) -> Any:
        logits[..., 3 * logits.shape[-1] // 4 :] *= strength
        return logits

    _change_logits(live, wrong)


def head_word(live: Live, strength: float) -> None:
    """One word's logit is larger by so many times the root mean square of all."""
    _change_logits(live, lambda logits: _raise_word(logits, strength))


def one_logit(live: Live, strength: float) -> None:
    """One word's logit is larger by so many times the root mean square of all, at the seventh token of answers."""

    def wrong(original: Callable[..., Any], hidden: Any, *rest: Any) -> Any:
        logits, rows = original(hidden, *rest), live.rows()
        for row, at in enumerate(rows if len(rows) == len(logits) else ()):
            if at.computed == at.prompt + 5:
                _raise_word(logits[row], strength)
        return logits

    live.around(live.model, "compute_logits", wrong)


def close_calls(live: Live, strength: float) -> None:
    """The two largest logits are exchanged where they are within so many times the root mean square of all."""

    def wrong(logits: Any) -> Any:
        top = logits.topk(2, dim=-1)
        near = (top.values[:, 0] - top.values[:, 1]).float() <= strength * _size(logits)
        logits[near] = logits[near].scatter(-1, top.indices[near], top.values[near].flip(-1))
        return logits

    _change_logits(live, wrong)


def logits_scaled(live: Live, strength: float) -> None:
    """All logits are multiplied."""
    _change_logits(live, lambda logits: logits * strength)


def logits_softcap(live: Live, strength: float) -> None:
    """Logits are capped softly at this, which the model does not ask for."""
    _change_logits(live, lambda logits: (logits / strength).tanh() * strength)


def _change_logits(live: Live, change: Callable[[Any], Any]) -> None:
    live.around(live.model, "compute_logits", lambda original, *args: change(original(*args)))


def _raise_word(logits: Any, strength: float) -> Any:
    logits[..., logits.shape[-1] // 3] += (strength * _size(logits)).to(logits.dtype)
    return logits


def _size(logits: Any) -> Any:
    """Root mean square of each row."""
    return logits.float().square().mean(dim=-1).sqrt()
