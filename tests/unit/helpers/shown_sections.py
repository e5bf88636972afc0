"""What sections say: all their blocks, and English in what is to be Chinese."""

import re

from npu_conformance.report.sections.blocks import Block, Fold

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\(#\d+\)|`[^`]*`|\{[^}]*\}|--[\w=-]+|[\w./-]*[/_.=][\w./=-]*")
_ENGLISH = re.compile(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}")


def flat(blocks: tuple[Block, ...]) -> list[Block]:
    """All blocks, those that are folded away too."""
    return [one for block in blocks for one in ((block, *flat(block.blocks)) if isinstance(block, Fold) else (block,))]


def english_in(text: str) -> str | None:
    """Three English words in a row that are no name, option or quotation."""
    found = _ENGLISH.search(_QUOTED.sub("…", text))
    return None if found is None else found[0]
