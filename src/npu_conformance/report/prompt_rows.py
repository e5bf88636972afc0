"""A row a prompt of a variant: tokens, errors, labels."""

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from npu_conformance.checks.answers import label_cases
from npu_conformance.checks.evidence import Evidence
from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.metrics import choice
from npu_conformance.report.part import Part


class PromptRow(Part):
    """One prompt of one variant."""

    prompt: str
    text: str
    """The prompt as written, before any template."""
    answer: str
    tokens: int
    """Judged positions."""
    matches: int
    """Positions at which the candidate's token is the reference's choice."""
    first_divergence: int | None
    candidate_first: str
    """The candidate's first token."""
    reference_first: str
    cosine: float
    """Mean over the prompt's positions."""
    cosine_first: float
    """At the first token."""
    relative_l2: float
    """Mean over the prompt's positions."""
    kl: float
    """Mean over the prompt's positions."""
    repeated: bool | None
    """Whether a second run gave the same tokens; null when there was none."""
    expected: list[str]
    """Substrings asked of the answer."""
    expected_found: bool
    second_matches: int | None = None
    """Positions at which the candidate's token is the second reference's choice; null without one."""

    @model_validator(mode="after")
    def _within_its_tokens(self) -> "PromptRow":
        first = -1 if self.first_divergence is None else self.first_divergence
        if not (0 <= self.matches <= self.tokens and first < self.tokens):
            raise ValueError(
                f"{self.matches} matches and first_divergence {self.first_divergence} of {self.tokens} tokens"
            )
        return self


class LabelRow(Part):
    """The labels of one prompt in one variant; null where the answer has none."""

    prompt: str
    text: str
    expected: dict[str, str]
    candidate: dict[str, str] | None
    reference: dict[str, str] | None


def prompt_rows(evidence: Evidence, comparison: Comparison) -> list[PromptRow]:
    """A row a prompt that has judged positions.

    Raises:
        TraceError: the second reference, if there is one, is not of the candidate's tokens.
    """
    texts = {prompt.id: prompt.text for prompt in evidence.prompts}
    expected = {prompt.id: prompt.expect for prompt in evidence.prompts}
    _refuse_other_tokens(evidence)
    rows = []
    for index, answer in enumerate(evidence.candidate.answers):
        span = comparison.span(index)
        values = {name: array[span] for name, array in comparison.values.items()}
        count = span.stop - span.start
        if not count:
            continue
        rows.append(
            PromptRow(
                prompt=answer.prompt,
                text=texts.get(answer.prompt, answer.prompt),
                answer=answer.text,
                tokens=count,
                matches=int(comparison.matches[span].sum()),
                first_divergence=comparison.first_divergence(index),
                candidate_first=_shown(evidence, int(comparison.tokens[span.start])),
                reference_first=_shown(evidence, int(comparison.choices[span.start])),
                cosine=float(values["cosine"].mean()),
                cosine_first=float(values["cosine"][0]),
                relative_l2=float(values["relative_l2"].mean()),
                kl=float(values["kl"].mean()),
                repeated=None if answer.repeat_token_ids is None else answer.repeat_token_ids == answer.token_ids,
                expected=list(expected.get(answer.prompt, ())),
                expected_found=all(text in answer.text for text in expected.get(answer.prompt, ())),
                second_matches=_second_matches(evidence, index, comparison.tokens[span]),
            )
        )
    return rows


def label_rows(evidence: Evidence) -> list[LabelRow]:
    """A row a labelled prompt; none where the check of labels is in error."""
    texts = {prompt.id: prompt.text for prompt in evidence.prompts}
    try:
        cases = label_cases(evidence)
    except TraceError:
        return []
    return [
        LabelRow(
            prompt=case.prompt,
            text=texts[case.prompt],
            expected=case.expected,
            candidate=case.candidate,
            reference=case.reference,
        )
        for case in cases
    ]


def _refuse_other_tokens(evidence: Evidence) -> None:
    second = evidence.second_reference
    if second is None:
        return
    scored, asked = (
        [(answer.prompt, answer.prompt_ids, answer.token_ids) for answer in trace.answers]
        for trace in (second, evidence.candidate)
    )
    if scored != asked:
        raise TraceError(f"{second.folder}: scored other tokens than the candidate's: not traces of the same run")


def _second_matches(evidence: Evidence, index: int, tokens: NDArray[np.int64]) -> int | None:
    """Judged positions of a prompt at which the second reference chooses the candidate's token."""
    second = evidence.second_reference
    return None if second is None else int((choice(second.logits(index)[: len(tokens)]) == tokens).sum())


def _shown(evidence: Evidence, token: int) -> str:
    """A token's text as reports publish it; blank ones quoted, with their id."""
    text = evidence.reference.pieces.get(token, "")
    return text if text.strip() else evidence.reference.piece(token)
