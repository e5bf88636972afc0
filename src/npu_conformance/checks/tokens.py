"""What the candidate said, token by token."""

import numpy as np

from npu_conformance.checks.claims import ANSWERS, reference_answers
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure, same_tokens
from npu_conformance.checks.hard import all_of, first
from npu_conformance.checks.registry import check
from npu_conformance.config.limits import AGREEMENT_FIGURES
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.results import Result
from npu_conformance.traces.tokens import first_difference


@check(
    chinese="在相同前缀之后，被测的贪心 token 就是参考的选择。",
    requires=("topk",),
    metrics=(*(figure.name for figure in AGREEMENT_FIGURES), ANSWERS, "equal_or_tied_tokens", "own_largest_tokens"),
)
def token_agreement(evidence: Evidence) -> list[Result]:
    """The candidate's greedy token is the reference's choice after the same prefix."""
    comparison = evidence.comparison
    require_finite(comparison)
    figures = [judge_figure(evidence, evidence.pair, "token_agreement", figure) for figure in AGREEMENT_FIGURES]
    unexplained = evidence.plain_floor and not evidence.long_texts
    explained = same_tokens(evidence, evidence.pair, "token_agreement", shown=unexplained)
    if evidence.long_texts:
        # A rate would count near-ties of the text; what counts is that rounding explains each.
        shown = [one.model_copy(update={"limit": None, "verdict": "shown", "message": None}) for one in figures]
        return [*shown, explained]
    figures = [*figures, *reference_answers(evidence, "token_agreement"), explained]
    if evidence.candidate.forced:
        return figures
    # Hard, because no rounding explains it: a sampler that takes another token than the engine's own largest logit.
    not_greedy = np.flatnonzero(~(comparison.own_shortfall == 0))
    where = evidence.pair.place(int(not_greedy[0])) if len(not_greedy) else None
    return [*figures, all_of(evidence, "token_agreement", "own_largest_tokens", not_greedy, where, len(comparison))]


@check(
    chinese="同一引擎对相同提示词再次运行，token 相同，logits 比特级一致。",
    requires=("topk", "repeat"),
    metrics=("repeated_tokens", "repeated_rows"),
    cause="itself",
)
def greedy_determinism(evidence: Evidence) -> list[Result]:
    """The same prompts again, in the same engine, give the same tokens and bitwise the same logits."""
    answers = evidence.candidate.answers
    tokens: list[str] = []
    rows: list[str] = []
    for index, answer in enumerate(answers):
        again = answer.repeat_token_ids or ()
        if again != answer.token_ids:
            tokens.append(_first_difference(evidence, answer.prompt, answer.token_ids, again))
        different = evidence.comparison.unrepeated[index]
        rows += [f"{answer.prompt}: {different} of {len(answer.token_ids)} rows differ"] * different
    n_rows = sum(len(answer.token_ids) for answer in answers)
    return [
        all_of(evidence, "greedy_determinism", "repeated_tokens", tokens, first(tokens)),
        all_of(evidence, "greedy_determinism", "repeated_rows", rows, first(rows), n_rows),
    ]


def _first_difference(evidence: Evidence, prompt: str, before: tuple[int, ...], again: tuple[int, ...]) -> str:
    at = first_difference(before, again)
    then, now = (evidence.reference.piece(ids[at]) if at < len(ids) else "the end" for ids in (before, again))
    return f"{prompt}, position {at}: {then} at first, {now} again"
