"""The generated text, token by token: how far each is off, and what both sides preferred."""

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.sections.blocks import Answer, Answers, Block, Fold, Paragraph, Section
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import percent

# Answers of a variant; the other variants' are folded away.
_MOST = 200


def section(view: View) -> Section | None:
    """None where no rows of logits were kept."""
    seen = [one for one in view.model.variants if one.token_rows is not None]
    if not seen:
        return None
    blocks: list[Block] = [Paragraph(view.t("note_tokens" if seen[0].floor_l2 else "note_tokens_no_floor"))]
    for one in seen:
        found = _answers(view, one)
        blocks.append(found if one is seen[0] else Fold(one.variant, (found,)))
    return Section("answers", view.t("answers_section"), tuple(blocks))


def _answers(view: View, one: VariantDetails) -> Answers:
    assert one.token_rows is not None  # noqa: S101 (asked for by the caller)
    floor = one.floor_l2 or [_limit(view, one.variant)] * one.positions
    over = tuple(
        mine / theirs if theirs else float("inf") if mine else 0.0
        for mine, theirs in zip(one.relative_l2, floor, strict=True)
    )
    answers, start = [], 0
    for row in one.prompts[:_MOST]:
        other = row.tokens - row.matches
        note = view.t("answer_note").format(matches=row.matches, tokens=row.tokens, error=percent(row.relative_l2))
        answers.append(Answer(row.prompt, row.text, start, row.tokens, note, open=other > 0 or not answers))
        start += row.tokens
    if sum(answer.open for answer in answers) > 6:
        answers = [_closed(answer, place) for place, answer in enumerate(answers)]
    return Answers(one.variant, one.token_rows, over, tuple(answers))


def _closed(answer: Answer, place: int) -> Answer:
    return Answer(answer.prompt, answer.text, answer.start, answer.count, answer.note, open=place < 3)


def _limit(view: View, variant: str) -> float:
    found = view.find("relative_l2_mean", variant)
    return found.limit if found is not None and found.limit else 1.0
