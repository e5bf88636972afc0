"""What the candidate said, token by token."""

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure
from npu_conformance.checks.hard import all_of, first, first_difference, not_applicable
from npu_conformance.checks.paths import same_tokens
from npu_conformance.config.limits import AGREEMENT_FIGURES
from npu_conformance.measure.compare import require_finite
from npu_conformance.measure.results import Check
from npu_conformance.traces.trace import row_digest


def token_agreement(evidence: Evidence) -> list[Check]:
    """The candidate's greedy token is the reference's choice after the same prefix."""
    comparison = evidence.comparison
    require_finite(comparison)
    figures = [judge_figure(evidence, evidence.pair, "token_agreement", figure) for figure in AGREEMENT_FIGURES]
    explained = same_tokens(evidence, evidence.pair, "token_agreement")
    if evidence.long_texts:
        # A rate would count near-ties of the text; what counts is that rounding explains each.
        shown = [one.model_copy(update={"limit": None, "verdict": "pass", "message": None}) for one in figures]
        return [*shown, explained]
    if evidence.config.scheme is not None:
        explained = explained.model_copy(update={"limit": None, "verdict": "pass"})
    figures = [*figures, explained]
    if evidence.candidate.forced:
        return figures
    # Hard, because no rounding explains it: a sampler that takes another token than the engine's own largest logit.
    not_greedy = np.flatnonzero(~(comparison.own_shortfall == 0))
    where = evidence.pair.place(int(not_greedy[0])) if len(not_greedy) else None
    metric = "tokens of the engine's own largest logit"
    return [*figures, all_of(evidence, "token_agreement", metric, not_greedy, where, len(comparison))]


def greedy_determinism(evidence: Evidence) -> list[Check]:
    """The same prompts again, in the same engine, give the same tokens and bitwise the same logits."""
    answers = evidence.candidate.answers
    if any(answer.repeat_token_ids is None or answer.repeat_digests is None for answer in answers):
        return [not_applicable(evidence, "greedy_determinism", "rows", "the trace holds no second run")]
    tokens: list[str] = []
    rows: list[str] = []
    n_rows = 0
    for index, answer in enumerate(answers):
        again = answer.repeat_token_ids or ()
        if again != answer.token_ids:
            tokens.append(_first_difference(evidence, answer.prompt, answer.token_ids, again))
        digests = [row_digest(row) for row in evidence.candidate.logits(index)]
        n_rows += len(digests)
        pairs = zip(digests, answer.repeat_digests or (), strict=False)
        different = sum(a != b for a, b in pairs) + abs(len(digests) - len(answer.repeat_digests or ()))
        rows += [f"{answer.prompt}: {different} of {len(digests)} rows differ"] * different
    return [
        all_of(evidence, "greedy_determinism", "prompts with the same tokens again", tokens, first(tokens)),
        all_of(evidence, "greedy_determinism", "rows bitwise equal again", rows, first(rows), n_rows),
    ]


def _first_difference(evidence: Evidence, prompt: str, before: tuple[int, ...], again: tuple[int, ...]) -> str:
    at = first_difference(before, again)
    then, now = (evidence.reference.piece(ids[at]) if at < len(ids) else "the end" for ids in (before, again))
    return f"{prompt}, position {at}: {then} at first, {now} again"
