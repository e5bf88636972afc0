"""The `labels:` section of a model config."""

import re

from pydantic import field_validator

from npu_conformance.config.patterns import Pattern, find
from npu_conformance.config.serve import Section


class Labels(Section):
    """The label a classifying model writes into its answer."""

    pattern: Pattern
    """Regular expression searched in the answer; its named groups are the labels."""

    @field_validator("pattern")
    @classmethod
    def _has_groups(cls, pattern: str) -> str:
        if not re.compile(pattern).groupindex:
            raise ValueError("has no named group; write one as (?P<label>…)")
        return pattern

    def parse(self, answer: str) -> dict[str, str] | None:
        """The labels in an answer by group name, or None where the pattern does not occur.

        Raises:
            TraceError: the pattern takes too long to say.
        """
        found = find(self.pattern, answer)
        return None if found is None else {name: text.strip() for name, text in found.groupdict("").items()}
