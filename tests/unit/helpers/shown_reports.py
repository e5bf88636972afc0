"""Reports as the terminal shows them."""

import re
from pathlib import Path

from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.terminal import WIDTH, rendered, summary_lines
from tests.unit.helpers.finished_reports import (
    report,
)


def shown(*models: ModelReport, width: int = WIDTH) -> str:
    """The summary as one text."""
    return text_of(report(*models), width)


def text_of(made: Report, width: int = WIDTH) -> str:
    """The same of a report."""
    return "\n".join(rendered(summary_lines(made, Path("/reports/now"), width), colour=False))


def paragraph(text: str, label: str) -> str:
    """A labelled paragraph, in one line."""
    found = re.search(rf"^  {re.escape(label)} +(.*(?:\n {{16}}.*)*)", text, re.MULTILINE)
    assert found is not None, text
    return " ".join(found[1].split())
