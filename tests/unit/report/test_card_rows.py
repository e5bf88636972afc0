"""What a card leaves out of its tables, and what it never does."""

import pytest

from npu_conformance.report.cards.card import card
from npu_conformance.report.model import Report
from npu_conformance.report.prompt_rows import LabelRow
from npu_conformance.report.words import word
from tests.unit.helpers.report_runs import Runs


@pytest.fixture
def report(runs: Runs) -> Report:
    """Base with all that details can have."""
    return runs.report()


def test_labels_and_answers_that_failed_are_never_cut(report: Report) -> None:
    """Others are, and what is cut is counted; a prompt with another token need not have failed."""
    base = report.models[0].variants[0]
    told = {"expected": ["four"], "expected_found": True, "repeated": True}
    right = base.prompts[0].model_copy(update={**told, "text": "right", "matches": base.prompts[0].tokens})
    odd = [right.model_copy(update={"text": f"odd {at}", "matches": 0, "expected_found": False}) for at in range(9)]
    again = right.model_copy(update={"repeated": False, "text": "another answer the second time"})
    base.prompts, base.labels = [*[right] * 9, *odd, again], []
    answers, prompts = (_table(report, key) for key in ("expected_answers", "per_prompt"))
    same = LabelRow(prompt="a/b", text="same", expected={}, candidate={"label": "Safe"}, reference={"label": "Safe"})
    flips = [same.model_copy(update={"text": f"flip {at}", "candidate": None}) for at in range(9)]
    base.labels = [*[same] * 9, *flips]
    labels = _table(report, "labels")

    assert all(f"| odd {at} |" in answers and f"| flip {at} |" in labels for at in range(9))
    assert "another answer the second time" in answers
    assert "… and 9 more, in" in answers
    assert "… and 9 more, in" in labels
    assert "… and 12 more, in" in prompts


def _table(report: Report, key: str) -> str:
    """Of a card, by the key of its title."""
    return "\n".join(card(report, report.models[0], "en")).split(f"## {word('en', key)}\n")[1].split("\n## ")[0]
