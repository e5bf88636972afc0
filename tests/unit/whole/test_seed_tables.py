"""Cards of the twins of published models, from real runs: every table of the published report is there."""

from pathlib import Path

import pytest

from npu_conformance.report.words import LANGUAGES
from tests.unit.helpers.seed_tables import SEED_TABLES, missing
from tests.unit.helpers.suite_runs import judge

VARIANTS = ("base", "as_served", "graph", "chunked_prefill", "prefix_caching")
pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.mark.parametrize("name", SEED_TABLES)
def test_the_card_of_a_twin_has_every_table_of_its_published_report(name: str, tmp_path: Path) -> None:
    """In both languages, at most 300 lines."""
    chosen = " or ".join(f"[{name}-{variant}]" for variant in VARIANTS)
    done = judge(tmp_path, "--twin", "-k", chosen)
    assert done.report["models"], done.output
    for language in LANGUAGES:
        ending = ".md" if language == "en" else f".{language}.md"
        lines = (tmp_path / "latest" / f"{name}{ending}").read_text(encoding="utf-8").splitlines()
        assert missing(lines, name, language) == []
        assert len(lines) <= 300
