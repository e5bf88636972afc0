"""What a server said at some positions, as rows of a trace."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from npu_conformance.checkpoints.headers import shown
from npu_conformance.engines.openai.client import Server
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.traces.topk_rows import TopKRows

# Probabilities of the likeliest tokens may add up to so much more than 1 by rounding.
_MOST = 1.01
_LEAST = 2
_LAST = int(np.iinfo(np.int32).max)


def rows_of(server: Server, prompt: str, said: Sequence[tuple[int, Mapping[int, float]]]) -> TopKRows:
    """Rows of as many words as every position has, at most as many as were asked for.

    Args:
        server: that said it.
        prompt: its name, for messages.
        said: by position its token and the log-probabilities of likely ones.

    Raises:
        ServerError: fewer than two words at a position, an id that no token has, or probabilities that add up to more
            than 1.
    """
    ranked = [sorted(top.items(), key=_rank) for _, top in said]
    count = min((server.form.top, *map(len, ranked)))
    if count < _LEAST:
        raise ServerError(
            f"{prompt}: {server.url}: tells {count} likeliest tokens of a position, at least {_LEAST} are needed"
        )
    kept = [_kept(one, count) for one in ranked]
    if (strange := next((word for one in kept for word, _ in one if not 0 <= word <= _LAST), None)) is not None:
        raise ServerError(f"{prompt}: {server.url}: tells a token with the id {shown(str(strange))}, which none has")
    words = np.array([[word for word, _ in one] for one in kept], dtype=np.int32).reshape(-1, count)
    log_probs = np.array([[value for _, value in one] for one in kept], dtype=np.float64).reshape(-1, count)
    likely = np.exp(log_probs).sum(axis=1)
    if (likely > _MOST).any():
        raise ServerError(
            f"{prompt}: {server.url}: the probabilities of its likeliest tokens add up to {np.nanmax(likely):.3g}: not "
            "those of a model"
        )
    return TopKRows(words, log_probs, np.clip(1 - likely, 0, 1), np.full(len(words), np.nan))


def _kept(ranked: Sequence[tuple[int, float]], count: int) -> list[tuple[int, float]]:
    """The first `count`, the last of them one that is no number where there is one: a cut must not hide it."""
    lost = [word for word in ranked[count:] if math.isnan(word[1])]
    return [*ranked[: count - 1], *(lost[:1] or ranked[count - 1 : count])]


def _rank(word: tuple[int, float]) -> tuple[bool, float, int]:
    """Likeliest first, then by id; what is no number last."""
    token, value = word
    return math.isnan(value), 0.0 if math.isnan(value) else -value, token
