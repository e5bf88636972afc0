"""Faults of some requests, steps or tokens alone."""

from collections.abc import Callable
from typing import Any

from npu_conformance.selftest.kinds.layers import change_layer
from npu_conformance.selftest.live import Live, Row


def first_token(live: Live, _: float) -> None:
    """The first token of every prompt is read as another, as where a tokenizer adds a BOS of its own."""

    def wrong(tokens: Any) -> Any:
        for row in live.rows():
            if row.computed == 0:
                tokens[row.tokens.start] = 0
        return tokens

    _change_tokens(live, wrong)


def tokens_exchanged(live: Live, strength: float) -> None:
    """One in so many tokens of the vocabulary is read as the next one, as with another version's tokenizer."""
    _change_tokens(live, lambda tokens: tokens.where(tokens % int(strength) != 1, tokens + 1))


def decode_only(live: Live, strength: float) -> None:
    """What one layer's MLP adds is multiplied once the prompt is over."""
    _change_rows(live, strength, lambda row: row.decodes)


def first_step_only(live: Live, strength: float) -> None:
    """What one layer's MLP adds is multiplied in the first step after the prompt."""
    _change_rows(live, strength, lambda row: row.computed == row.prompt)


def prefill_only(live: Live, strength: float) -> None:
    """What the last layer's MLP adds is multiplied while prompts are read."""
    _change_rows(live, strength, lambda row: not row.decodes, layer=-1)


def one_step(live: Live, strength: float) -> None:
    """What the last layer's MLP adds is multiplied at the seventh token of every answer."""
    _change_rows(live, strength, lambda row: row.computed == row.prompt + 5, layer=-1)


def later_steps(live: Live, strength: float) -> None:
    """What the last layer's MLP adds is multiplied from the tenth token of every answer on."""
    _change_rows(live, strength, lambda row: row.computed >= row.prompt + 8, layer=-1)


def rows_mixed(live: Live, strength: float) -> None:
    """Of what one layer's MLP adds to the batch's second row, so large a share is the first row's."""

    def mixed(hidden: Any) -> Any:
        rows = [row.tokens.stop - 1 for row in live.rows() if row.decodes]
        if len(rows) < 2:
            return hidden
        changed = hidden.clone()
        changed[rows[1]] = (1 - strength) * hidden[rows[1]] + strength * hidden[rows[0]]
        return changed

    change_layer(live, mixed)


def _change_rows(live: Live, strength: float, wrong: Callable[[Row], bool], layer: int | None = None) -> None:
    def change(hidden: Any) -> Any:
        changed = hidden.clone()
        for row in live.rows():
            if wrong(row):
                changed[row.tokens] *= strength
        return changed

    change_layer(live, change, layer)


def _change_tokens(live: Live, change: Callable[[Any], Any]) -> None:
    """Let `change` have a copy of the ids [tokens] that are embedded."""
    live.around(live.decoder.embed_tokens, "forward", lambda original, tokens: original(change(tokens.clone())))
