"""Where the candidate's answers end, and why."""

from collections.abc import Iterator, Set
from math import inf

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.measure.results import Result
from npu_conformance.traces.trace import Answer


@check(
    chinese="每个回答都在模型结束的地方结束：在第一个结束 token 处，或达到要求的最大长度。",
    metrics=("ended_answers",),
)
def answer_ends(evidence: Evidence) -> list[Result]:
    """Every answer ends where the model ends it: at its first stop token, or at the longest length asked for."""
    if evidence.candidate.forced:
        return [not_applicable(evidence, "answer_ends", "its tokens were given")]
    stops, room = set(evidence.reference.eos_token_ids), evidence.config.serve.max_model_len or inf
    longest = {prompt.id: prompt.max_tokens or evidence.config.max_tokens for prompt in evidence.prompts}
    whole = [answer for answer in evidence.candidate.answers if not answer.untold]
    wrong = [
        f"{answer.prompt}: {told}"
        for answer in whole
        for told in _wrong(evidence, answer, stops, min(longest[answer.prompt], room - len(answer.prompt_ids)))
    ]
    result = all_of(evidence, "answer_ends", "ended_answers", wrong, first(wrong), len(whole))
    untold = len(evidence.candidate.answers) - len(whole)
    told = f"of {untold} answers the engine does not tell all tokens: their ends are not judged" if untold else None
    return [result.model_copy(update={"message": told})]


def _wrong(evidence: Evidence, answer: Answer, stops: Set[int], longest: float) -> Iterator[str]:
    """What is wrong with an answer's end; one thing at most."""
    tokens = answer.token_ids
    stop = next((place for place, token in enumerate(tokens) if token in stops), None)
    reason = "length" if stop is None else "stop"
    if stop is not None and stop + 1 < len(tokens):
        piece = evidence.reference.piece(tokens[stop])
        yield f"goes on for {len(tokens) - stop - 1} tokens after the stop token {piece} at position {stop}"
    elif stop is None and len(tokens) < longest:
        yield f"ends after {len(tokens)} of {longest:g} tokens without a stop token"
    elif len(tokens) > longest:
        yield f"has {len(tokens)} tokens, at most {longest:g} were asked for"
    elif answer.finish_reason not in (None, reason):
        yield f"the engine says it finished by {answer.finish_reason!r}, expected {reason!r}"
