"""What a card leaves out of its tables, and what it never does."""

import re

import pytest

from npu_conformance.report.cards.card import card
from npu_conformance.report.cards.excerpts import MOST
from npu_conformance.report.model import Report
from npu_conformance.report.prompt_rows import LabelRow
from npu_conformance.report.renderers.markdown import LONGEST
from npu_conformance.report.words import word
from tests.unit.helpers.report_runs import Runs
from tests.unit.helpers.suite_runs import ROOT


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


@pytest.mark.parametrize(("name", "head"), [("report.md", "| table | rows |"), ("zh/report.md", "| 表格 | 行数 |")])
def test_the_docs_say_how_many_rows_a_card_keeps(name: str, head: str) -> None:
    """A row a table, in the order in which the code has them, with its number first."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    rows = text.split(head)[1].split("\n\n")[0].splitlines()[2:]

    assert [int(re.findall(r"\d+", row.split("|")[2])[0]) for row in rows] == list(MOST.values())
    assert f"{LONGEST} " in text.split("## details")[1].split("\n## ")[0]


def test_what_failed_is_kept_as_the_docs_say(runs: Runs) -> None:
    """Every label and gate that failed; prompts end at seven, those with another token first."""
    report = runs.report()
    model = report.models[0]
    base = model.variants[0]
    row, label = base.prompts[0], base.labels[0]
    base.prompts = [row] * 9 + [row.model_copy(update={"matches": 0, "text": f"off {number}"}) for number in range(9)]
    base.labels = [label.model_copy(update={"candidate": None, "text": f"wrong {number}"}) for number in range(9)]
    gate = next(one for one in model.checks if one.p_value is not None)
    model.checks += [gate.model_copy(update={"verdict": "fail"})] * 9
    shown = "\n".join(card(report, model, "en"))
    failed = [line for line in shown.splitlines() if "❌" in line]

    assert [f"off {number}" in shown for number in range(9)] == [True] * 7 + [False] * 2
    assert all(f"| wrong {number} |" in shown for number in range(9))
    assert len([line for line in failed if line.endswith("| ❌ fail |")]) == 9
    assert "and 11 more, in `details.md`" in shown
