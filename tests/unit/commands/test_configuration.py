"""The page of all keys."""

import re

from npu_conformance.commands.configuration import configuration_page
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import PromptSet
from npu_conformance.config.serve import Serve
from tests.unit.helpers.suite_runs import ROOT


def test_the_page_in_docs_is_current() -> None:
    """`npu-conformance dev schema` writes it."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == configuration_page()


def test_each_key_is_told_with_what_it_takes() -> None:
    """And says what it is; links lead to a table of the page."""
    page = configuration_page()
    for key in (*ModelConfig.model_fields, *Serve.model_fields, *PromptSet.model_fields):
        (row, *_) = re.findall(rf"^\| `{key}` \| (.*) \|$", page, flags=re.MULTILINE)
        cells = row.replace("\\|", "").split(" | ")
        assert len(cells) == 3
        assert all(cells), row
    assert "| `dtype` | `bfloat16`, `float16`, `float32` | `bfloat16` |" in page
    headings = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\(#([a-z-]+)\)", page)) <= headings
