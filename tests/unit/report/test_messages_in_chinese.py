"""Messages of checks stay English in report.json, and are Chinese wherever a Chinese report shows them."""

import re
from pathlib import Path

import pytest

from npu_conformance.audit import mistakes
from npu_conformance.audit.formats import compressed_tensors, gptq
from npu_conformance.report.cards.card import card
from npu_conformance.report.renderers.html import model_page
from npu_conformance.report.words import phrase, reasons
from npu_conformance.report.words.messages import MESSAGES
from npu_conformance.report.words.mistakes import MISTAKES
from tests.unit.helpers.finished_reports import failing_report
from tests.unit.helpers.report_runs import Runs, exchanged
from tests.unit.helpers.shown_sections import english_in
from tests.unit.helpers.suite_runs import ROOT

# One of each kind of message, as checks write them.
EXAMPLES = (ROOT / "tests/unit/report/messages.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("english", EXAMPLES)
def test_a_message_is_said_in_chinese(english: str) -> None:
    """With all of its numbers; English stays as it is."""
    chinese = phrase("zh", english)

    assert re.search(r"[\u4e00-\u9fff]", chinese), chinese
    assert english_in(chinese) is None, chinese
    numbers = re.findall(r"\d[\d.]*\d|\d", english)
    assert sorted(set(numbers) - set(re.findall(r"\d[\d.]*\d|\d", chinese))) == []
    assert phrase("en", english) == english


def test_every_pattern_has_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is dead, so that a message that is worded anew is seen here."""
    used: set[str] = set()

    class Noted:
        """A pattern that notes that it was the one."""

        def __init__(self, pattern: re.Pattern[str]) -> None:
            self._pattern = pattern

        def fullmatch(self, text: str) -> re.Match[str] | None:
            found = self._pattern.fullmatch(text)
            used.update([self._pattern.pattern] if found else [])
            return found

    monkeypatch.setattr(reasons, "_PATTERNS", [(Noted(one), chinese) for one, chinese in reasons._PATTERNS])
    for english in EXAMPLES:
        phrase("zh", english)

    assert [pattern for pattern, _ in (*MISTAKES, *MESSAGES) if pattern not in used] == []


def test_every_known_mistake_has_its_chinese() -> None:
    """All that an audit can name."""
    sources = [
        Path(str(module.__file__)).read_text(encoding="utf-8") for module in (mistakes, compressed_tensors, gptq)
    ]
    named = {name for source in sources for name in re.findall(r'^    "([a-z][^"]+)": ', source, re.MULTILINE)}

    assert len(named) > 20
    assert [name for name in sorted(named) if phrase("zh", f"as if {name}") == f"as if {name}"] == []
    assert [name for name in sorted(named) if english_in(phrase("zh", f"as if {name}"))] == []


def test_a_chinese_report_of_failures_has_no_english_sentence(runs: Runs) -> None:
    """On the page and in the card: what must hold, what was found, where."""
    runs.variant("graph", change=exchanged)
    report = runs.report()
    shown = "\n".join(card(report, report.models[0], "zh"))
    rows = [line for line in shown.splitlines() if "❌" in line]
    page = re.sub(r"<style>.*?</style>|<script.*?</script>|<svg.*?</svg>|<pre.*?</pre>", "", _page(report), flags=re.S)
    cells = re.findall(r"<(?:td|th|p|li|summary)[^>]*>([^<]+)<", page)

    assert any("，位置 " in row for row in rows), rows
    assert [row for row in rows if english_in(row)] == []
    assert [cell for cell in cells if english_in(cell) and not _asked(runs, cell)] == []


def _page(report: object) -> str:
    return model_page(report, report.models[0], "zh")  # type: ignore[attr-defined, arg-type]


def _asked(runs: Runs, text: str) -> bool:
    """Whether it is a prompt, an answer, a command, or the reason of a limit of the config's own."""
    base = runs.report().models[0].variants[0]
    return any(text == own.reason for own in base.own_limits.values()) or any(
        text.strip().startswith(row.text[:20]) or row.answer[:20] in text for row in base.prompts
    )


def test_what_is_inconclusive_says_why_in_chinese() -> None:
    """Beside the verdict, of made-up runs of five models."""
    report = failing_report()
    for model in report.models:
        shown = "\n".join(card(report, model, "zh"))
        assert [line for line in shown.splitlines() if "❓" in line and english_in(line)] == []
