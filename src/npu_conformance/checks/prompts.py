"""What the engines were asked."""

from collections.abc import Sequence

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of
from npu_conformance.checks.registry import check
from npu_conformance.measure.compare import differing_prompt_ids
from npu_conformance.measure.results import Result
from npu_conformance.traces.tokens import first_difference


@check(
    chinese="被测与参考得到相同的 token id，引擎自己的分词结果也与之相同。",
    requires=("own_prompts",),
    metrics=("prompt_ids",),
    cause="input",
)
def prompt_tokens(evidence: Evidence) -> list[Result]:
    """Candidate and reference were given the same token ids, and the engine's own tokenisation gives them too."""
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
    return [all_of(evidence, "prompt_tokens", "prompt_ids", different, where, path="none")]


def _window(ids: Sequence[int], at: int) -> str:
    return f"[{', '.join(map(str, ids[max(at - 1, 0) : at + 3]))}, …]"
