"""Ids of tokens that a server names by their text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from npu_conformance.engines.tokenizer_file import TokenizerFile


class TokenNames:
    """A tokenizer's ids by the text of each token alone."""

    def __init__(self, tokenizer: TokenizerFile) -> None:
        """Args: tokenizer: the published one."""
        self._tokenizer = tokenizer
        self._pieces = tokenizer.pieces()
        self._ids: Mapping[str, Sequence[int]] = _by_text(self._pieces)

    def id(self, text: str) -> int | None:
        """The token of a text; None where it is none's, or several tokens', as parts of characters are."""
        found = self._ids.get(text, ())
        return found[0] if len(found) == 1 else None

    def piece(self, token: int) -> str | None:
        """The text of a token alone."""
        return self._pieces.get(token)

    def how_many(self, text: str) -> int:
        """Tokens that have this text."""
        return len(self._ids.get(text, ()))

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones too."""
        return self._tokenizer.whole_text(ids)


def _by_text(pieces: Mapping[int, str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for token, text in pieces.items():
        found[text].append(token)
    return dict(found)
