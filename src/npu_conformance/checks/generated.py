"""Tokens that were generated again, against base's: equal, or other ones from a tie on."""

from typing import NamedTuple

from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.metrics import choice, root_mean_square, tied
from npu_conformance.traces.tokens import first_difference
from npu_conformance.traces.trace import Trace


class Difference(NamedTuple):
    """Where two answers part."""

    tied: bool
    """Whether rounding may exchange the two tokens there."""
    where: str
    """For people."""


def difference(evidence: Evidence, base: Trace, index: int, tokens: tuple[int, ...]) -> Difference | None:
    """Where an answer leaves base's; None where it does not, or is as far as it goes the same.

    Args:
        evidence: of the variant.
        base: base's trace.
        index: the prompt's.
        tokens: of the answer.
    """
    theirs = base.answers[index]
    if tokens == theirs.token_ids:
        return None
    at = first_difference(tokens, theirs.token_ids)
    now = tokens[at] if at < len(tokens) else None
    told = [evidence.reference.piece(ids[at]) if at < len(ids) else "the end" for ids in (tokens, theirs.token_ids)]
    where = f"{theirs.prompt}, position {at}: {told[0]}, base {told[1]}"
    if now is None or at >= len(theirs.token_ids):
        return Difference(tied=False, where=where)
    return Difference(_tied(evidence, base, index, at, now), where)


def _tied(evidence: Evidence, base: Trace, index: int, at: int, now: int) -> bool:
    # Of few words nothing tells the size of a row, which widths are measured in: the reference has base's tokens.
    rows = base if base.rows == "full" else evidence.reference
    if rows.rows != "full":
        return False
    row = rows.logits(index)[at : at + 1]
    best = int(choice(row)[0]) if rows is base else base.answers[index].token_ids[at]
    width = evidence.tie_width_at(base.answers[index].prompt, at)
    return bool(tied(row[0, best] - row[0, now], root_mean_square(row)[0], width).item())
