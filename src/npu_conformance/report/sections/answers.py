"""The generated text, token by token: how far each is off, and what both sides preferred."""

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.sections.blocks import Answer, Answers, Cell, Fold, Mark, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.token_rows import OTHER
from npu_conformance.report.values import percent

# Answers that are shown at once.
_AT_ONCE = 5


def section(view: View) -> Section | None:
    """None where no rows of logits were kept."""
    seen = [one for one in view.model.variants if one.token_rows is not None and one.relative_l2]
    if not seen:
        return None
    note = view.t("note_tokens" if seen[0].floor_l2 else "note_tokens_no_floor")
    folds = (Fold(one.variant, (_answers(view, one, ""),)) for one in seen[1:])
    return Section("answers", view.t("answers_section"), (_answers(view, seen[0], note), *folds))


def answer_table(view: View, one: VariantDetails) -> Table:
    """A row a prompt of which something is expected: what, the answer, whether a second run gave it again."""
    columns = ("prompt", "expected", "answer", "n_tokens", "repeated", "as_expected")
    rows = tuple(
        (
            Cell(row.text), Cell(" · ".join(row.expected)), Cell(row.answer), number(str(row.tokens)),
            Cell("" if row.repeated is not None else "—", _mark(row.repeated)), Cell("", _mark(row.expected_found)),
        )
        for row in one.prompts
        if row.expected
    )  # fmt: skip
    return Table(view.t("expected_answers"), tuple(map(view.t, columns)), rows)


def _mark(holds: bool | None) -> Mark:
    return "" if holds is None else "pass" if holds else "fail"


def _answers(view: View, one: VariantDetails, note: str) -> Answers:
    assert one.token_rows is not None  # noqa: S101 (asked for by the caller)
    floor = one.floor_l2 or [_limit(view, one.variant)] * one.positions
    over = tuple(
        mine / theirs if theirs else float("inf") if mine else 0.0
        for mine, theirs in zip(one.relative_l2, floor, strict=True)
    )
    found, start = [], 0
    for row in one.prompts:
        told = view.t("answer_note").format(matches=row.matches, tokens=row.tokens, error=percent(row.relative_l2))
        # A character that is split over tokens cannot be read in any of them.
        ids = one.token_rows.tokens[start : start + row.tokens]
        split = any("\ufffd" in one.token_rows.pieces.get(number, "") for number in ids)
        found.append(Answer(row.prompt, row.text, start, row.tokens, told, row.answer if split else ""))
        start += row.tokens
    worst = sorted(found, key=lambda answer: _how_far(one, over, answer), reverse=True)[:_AT_ONCE]
    others = tuple(answer for answer in found if answer not in worst)
    summary = view.t("answers_others").format(count=len(others))
    return Answers(one.variant, one.token_rows, over, tuple(worst), others, summary, note)


def _how_far(one: VariantDetails, over: tuple[float, ...], answer: Answer) -> tuple[int, float]:
    """By tokens that rounding does not explain, then by the largest error over the floor."""
    assert one.token_rows is not None  # noqa: S101
    span = slice(answer.start, answer.start + answer.count)
    return one.token_rows.marks[span].count(OTHER), max(over[span], default=0.0)


def _limit(view: View, variant: str) -> float:
    found = view.find("relative_l2_mean", variant)
    return found.limit if found is not None and found.limit else 1.0
