"""What the engines were asked."""

from collections.abc import Sequence

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first_difference, not_applicable
from npu_conformance.measure.compare import differing_prompt_ids
from npu_conformance.measure.results import Check


def prompt_tokens(evidence: Evidence) -> list[Check]:
    """Candidate and reference were given the same token ids, and the engine's own tokenisation gives them too."""
    if evidence.long_texts:
        return [
            not_applicable(
                evidence, "prompt_tokens", "prompt ids", "this variant uses texts of the suite, given as token ids"
            )
        ]
    different = list(differing_prompt_ids(evidence.candidate, evidence.reference))
    where = None
    if different:
        answer, what, expected = different[0]
        found = answer.prompt_ids if what.startswith("given") else answer.own_prompt_ids or ()
        at = first_difference(found, expected)
        where = (
            f"{answer.prompt}: ids {what}: {len(found)} tokens, {_window(found, at)} at index {at}; "
            f"expected {len(expected)}, {_window(expected, at)}"
        )
        if tuple(found[1:]) == tuple(expected) and found[:1] == expected[:1]:
            where += "; the first token stands twice: a beginning-of-text added to a prompt that had one"
    return [all_of(evidence, "prompt_tokens", "prompts with identical token ids", different, where, path="none")]


def _window(ids: Sequence[int], at: int) -> str:
    return f"[{', '.join(map(str, ids[max(at - 1, 0) : at + 3]))}, …]"
