"""The properties a model must have: one function each, from evidence to checks with a verdict.

The figures among them are judged in `figures`; all others are hard: every case must hold, and there must be one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.compare import differing_prompt_ids
from npu_conformance.errors import TraceError
from npu_conformance.evidence import Evidence
from npu_conformance.figures import judge_figure, require_finite
from npu_conformance.limits import AGREEMENT_FIGURES, CLOSENESS_FIGURES
from npu_conformance.results import Check
from npu_conformance.trace import row_digest


def judged_or_error(property_: Callable[[Evidence], list[Check]], evidence: Evidence) -> list[Check]:
    """What the property's function judged; a single check in error where the traces do not allow to judge."""
    try:
        return property_(evidence)
    except TraceError as error:
        name = property_.__name__
        return [Check(check=name, variant=evidence.variant, metric=name, verdict="error", message=str(error))]


def prompt_tokens(evidence: Evidence) -> list[Check]:
    """Candidate and reference were given the same token ids, and the engine's own tokenisation gives them too."""
    different = list(differing_prompt_ids(evidence.candidate, evidence.reference))
    where = None
    if different:
        answer, what, expected = different[0]
        found = answer.prompt_ids if what.startswith("given") else answer.own_prompt_ids or ()
        at = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
        at = min(len(found), len(expected)) if at is None else at
        where = (
            f"{answer.prompt}: ids {what}: {len(found)} tokens, {_window(found, at)} at index {at}; "
            f"expected {len(expected)}, {_window(expected, at)}"
        )
    return [_all_of(evidence, "prompt_tokens", "prompts with identical token ids", different, where, path="none")]


def finite_logits(evidence: Evidence) -> list[Check]:
    """Every logit at every position is a finite number, on both sides."""
    comparison = evidence.comparison
    checks = []
    for side, finite in (("candidate", comparison.finite), ("reference", comparison.reference_finite)):
        bad = np.flatnonzero(~finite)
        where = None
        if len(bad):
            prompt, step = comparison.locate(int(bad[0]))
            trace = evidence.candidate if side == "candidate" else evidence.reference
            row = trace.logits(prompt)[step]
            where = (
                f"{comparison.prompts[prompt]}, position {step}: {np.isnan(row).sum()} NaN and "
                f"{np.isinf(row).sum()} infinite of {len(row)} logits of the {side}, first at token "
                f"{evidence.reference.piece(int(np.flatnonzero(~np.isfinite(row))[0]))}"
            )
        checks.append(
            _all_of(evidence, "finite_logits", f"positions with finite logits, {side}", bad, where, len(finite))
        )
    return checks


def token_agreement(evidence: Evidence) -> list[Check]:
    """The candidate's greedy token is the reference's choice after the same prefix."""
    comparison = evidence.comparison
    require_finite(comparison)
    # Hard, because no rounding explains it: a sampler that takes another token than the engine's own largest logit.
    not_greedy = np.flatnonzero(~(comparison.own_shortfall == 0))
    where = evidence.place(int(not_greedy[0])) if len(not_greedy) else None
    return [
        *(judge_figure(evidence, "token_agreement", figure) for figure in AGREEMENT_FIGURES),
        _all_of(
            evidence, "token_agreement", "tokens of the engine's own largest logit", not_greedy, where, len(comparison)
        ),
    ]


def logits_closeness(evidence: Evidence) -> list[Check]:
    """The candidate's logits stay within the dtype's limits of the reference's."""
    require_finite(evidence.comparison)
    return [judge_figure(evidence, "logits_closeness", figure) for figure in CLOSENESS_FIGURES]


def greedy_determinism(evidence: Evidence) -> list[Check]:
    """The same prompts again, in the same engine, give the same tokens and bitwise the same logits."""
    answers = evidence.candidate.answers
    if any(answer.repeat_token_ids is None or answer.repeat_digests is None for answer in answers):
        return [_not_applicable(evidence, "greedy_determinism", "rows", "the trace holds no second run")]
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
        _all_of(evidence, "greedy_determinism", "prompts with the same tokens again", tokens, _first(tokens)),
        _all_of(evidence, "greedy_determinism", "rows bitwise equal again", rows, _first(rows), n_rows),
    ]


def expected_substrings(evidence: Evidence) -> list[Check]:
    """Every answer contains what its prompt says it must."""
    asked = [(prompt, text) for prompt in evidence.prompts for text in prompt.expect]
    if not asked:
        return [_not_applicable(evidence, "expected_substrings", "substrings", "no prompt expects a substring")]
    answers = {answer.prompt: answer.text for answer in evidence.candidate.answers}
    missing = [
        f"{prompt.id}: expected {text!r} in the answer, found {answers[prompt.id]!r}"
        for prompt, text in asked
        if text not in answers[prompt.id]
    ]
    return [_all_of(evidence, "expected_substrings", "expected substrings found", missing, _first(missing), len(asked))]


@dataclass(frozen=True)
class LabelCase:
    """The labels of one prompt: None where the pattern does not occur."""

    prompt: str
    expected: dict[str, str]
    candidate: dict[str, str] | None
    reference: dict[str, str] | None
    answer: str


def label_cases(evidence: Evidence) -> list[LabelCase]:
    """The labelled prompts with what candidate and reference said; empty for a model without labels."""
    pattern = evidence.config.labels
    if pattern is None:
        return []
    answers = zip(evidence.prompts, evidence.candidate.answers, evidence.reference.answers, strict=True)
    return [
        LabelCase(prompt.id, prompt.labels, pattern.parse(mine.text), pattern.parse(theirs.text), mine.text)
        for prompt, mine, theirs in answers
        if prompt.labels
    ]


def labels(evidence: Evidence) -> list[Check]:
    """The candidate's label is the reference's, and the expected one."""
    cases = label_cases(evidence)
    if not cases:
        why = "no prompt has labels" if evidence.config.labels else "the model config has no labels.pattern"
        return [_not_applicable(evidence, "labels", "labels", why)]
    versus_reference = [
        f"{case.prompt}: candidate {case.candidate}, reference {case.reference}"
        for case in cases
        if case.candidate is None or case.candidate != case.reference
    ]
    versus_expected = [
        f"{case.prompt}: expected {case.expected}, candidate {case.candidate}, answer {case.answer!r}"
        for case in cases
        if case.candidate is None or any(case.candidate.get(key) != value for key, value in case.expected.items())
    ]
    return [
        _all_of(
            evidence,
            "labels",
            "labels equal to the reference's",
            versus_reference,
            _first(versus_reference),
            len(cases),
        ),
        _all_of(evidence, "labels", "labels as expected", versus_expected, _first(versus_expected), len(cases)),
    ]


PROPERTIES: tuple[Callable[[Evidence], list[Check]], ...] = (
    prompt_tokens,
    finite_logits,
    token_agreement,
    logits_closeness,
    greedy_determinism,
    expected_substrings,
    labels,
)
"""All of them; a file each in tests/conformance."""


def _all_of(
    evidence: Evidence,
    check: str,
    metric: str,
    broken: Sequence[object] | NDArray[Any],
    where: str | None,
    n: int | None = None,
    path: str = "decode",
) -> Check:
    """A hard check: all of n must hold, none is allowed to be broken, and n must not be 0."""
    n = len(evidence.candidate.answers) if n is None else n
    return Check.model_validate(
        {
            "check": check,
            "variant": evidence.variant,
            "path": path,
            "metric": metric,
            "observed": n - len(broken),
            "limit": n,
            "n": n,
            "verdict": "pass" if n > 0 and len(broken) == 0 else "fail",
            "where": where,
        }
    )


def _not_applicable(evidence: Evidence, check: str, metric: str, why: str) -> Check:
    return Check(
        check=check,
        variant=evidence.variant,
        metric=metric,
        verdict="not_applicable",
        message=why,
        path="none",
    )


def _first_difference(evidence: Evidence, prompt: str, first: tuple[int, ...], again: tuple[int, ...]) -> str:
    pairs = enumerate(zip(first, again, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(first), len(again)))
    then, now = (evidence.reference.piece(ids[at]) if at < len(ids) else "the end" for ids in (first, again))
    return f"{prompt}, position {at}: {then} at first, {now} again"


def _first(messages: Sequence[str]) -> str | None:
    if not messages:
        return None
    return messages[0] + (f" (and {len(messages) - 1} more)" if len(messages) > 1 else "")


def _window(ids: Sequence[int], at: int) -> str:
    return f"[{', '.join(map(str, ids[max(at - 1, 0) : at + 3]))}, …]"
