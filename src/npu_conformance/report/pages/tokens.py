"""Tokens as a page shows them: text that breaks nothing, a level of colour, and the data that hovering reads."""

import json
import math
import re
import unicodedata
from dataclasses import dataclass

from npu_conformance.report.sections.blocks import Answers
from npu_conformance.report.token_rows import OTHER, TIED

LEVELS = (1.0, 1.5, 2.0, 3.0, 5.0)
"""Error over the floor from which on a token has the next colour."""
_LONGEST = 60
_SPECIAL = re.compile(r"<[|｜].*[|｜]>|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """One token of an answer."""

    place: int
    """Its position among those of the variant."""
    text: str
    classes: str
    breaks: bool
    """Whether a line ends after it."""


def tokens(answers: Answers, start: int, count: int) -> list[Token]:
    """The tokens of an answer."""
    rows, found = answers.rows, []
    for place in range(start, start + count):
        number = rows.tokens[place]
        piece = rows.pieces.get(number, f"#{number}")
        classes = [f"q{level(answers.over_floor[place])}"]
        classes += ["tied"] if rows.marks[place] == TIED else ["other"] if rows.marks[place] == OTHER else []
        classes += ["special"] if _SPECIAL.fullmatch(piece) else []
        found.append(Token(place, visible(piece) or f"#{number}", " ".join(classes), piece.endswith("\n")))
    return found


def level(ratio: float) -> int:
    """0 to 5, by how far off a token is; what is not finite is worst."""
    return sum(ratio >= one for one in LEVELS) if math.isfinite(ratio) else len(LEVELS)


def visible(piece: str) -> str:
    """A token's text with its line breaks and control characters as signs, and cut where it is long."""
    shown = "".join(map(_sign, piece))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _sign(character: str) -> str:
    if character == "\n":
        return "↵"
    if character == "\t":
        return "⇥"
    if character < " " or character == "\x7f":
        return chr(0x2400 + ord(character)) if character < " " else "␡"
    # Marks of direction, and what has no glyph of its own, would move or hide what stands beside them.
    category = unicodedata.category(character)
    return f"⟨{ord(character):X}⟩" if category in ("Cf", "Cc", "Cs", "Co") and character != "\u200d" else character


def token_json(answers: Answers) -> str:
    """What hovering reads, as JSON that a script element can hold."""
    rows = answers.rows
    seen = {*rows.tokens, *rows.candidate_words, *rows.reference_words}
    data = {
        "n": rows.words,
        "c": rows.candidate_words,
        "cl": list(map(_number, rows.candidate_logits)),
        "r": rows.reference_words,
        "rl": list(map(_number, rows.reference_logits)),
        "t": rows.tokens,
        "m": rows.marks,
        "k": list(map(_number, rows.kl)),
        "o": [_number(float(f"{one:.3g}")) for one in answers.over_floor],
        "p": {number: visible(rows.pieces[number]) for number in sorted(seen) if number in rows.pieces},
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (
        text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("&", "\\u0026")
    )


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
