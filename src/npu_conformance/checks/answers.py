"""What the candidate's answers say: substrings, formats and labels."""

from dataclasses import dataclass

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.config.patterns import find
from npu_conformance.measure.results import Result


@check(chinese="每个回答都包含其提示词要求的内容。", metrics=("expected_substrings",))
def expected_substrings(evidence: Evidence) -> list[Result]:
    """Every answer contains what its prompt says it must."""
    asked = [(prompt, text) for prompt in evidence.prompts for text in prompt.expect]
    if not asked:
        return [not_applicable(evidence, "expected_substrings", "no prompt expects a substring")]
    answers = {answer.prompt: answer.text for answer in evidence.candidate.answers}
    missing = [
        f"{prompt.id}: expected {text!r} in the answer, found {answers[prompt.id]!r}"
        for prompt, text in asked
        if text not in answers[prompt.id]
    ]
    return [all_of(evidence, "expected_substrings", "expected_substrings", missing, first(missing), len(asked))]


@check(chinese="每个回答都符合其提示词集要求的格式。", metrics=("answer_formats",))
def output_format(evidence: Evidence) -> list[Result]:
    """Every answer has the format its prompt set asks for."""
    asked = [prompt for prompt in evidence.prompts if prompt.format is not None]
    if not asked:
        return [not_applicable(evidence, "output_format", "no prompt set asks for a format")]
    answers = {answer.prompt: answer.text for answer in evidence.candidate.answers}
    broken = [
        f"{prompt.id}: expected an answer of the form {prompt.format!r}, found {answers[prompt.id]!r}"
        for prompt in asked
        if find(prompt.format or "", answers[prompt.id], "start") is None
    ]
    return [all_of(evidence, "output_format", "answer_formats", broken, first(broken), len(asked))]


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
    expected = {prompt.id: prompt.labels for prompt in evidence.prompts if prompt.labels}
    return [
        LabelCase(mine.prompt, expected[mine.prompt], pattern.parse(mine.text), pattern.parse(theirs.text), mine.text)
        for mine, theirs in zip(evidence.candidate.answers, evidence.reference.answers, strict=True)
        if mine.prompt in expected
    ]


@check(chinese="被测给出的标签与参考一致，也与期望一致。", metrics=("labels_of_reference", "labels_expected"))
def labels(evidence: Evidence) -> list[Result]:
    """The candidate's label is the reference's, and the expected one."""
    cases = label_cases(evidence)
    if not cases:
        why = "no prompt has labels" if evidence.config.labels else "the model config has no labels.pattern"
        return [not_applicable(evidence, "labels", why)]
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
        all_of(
            evidence,
            "labels",
            "labels_of_reference",
            versus_reference,
            first(versus_reference),
            len(cases),
        ),
        all_of(evidence, "labels", "labels_expected", versus_expected, first(versus_expected), len(cases)),
    ]
