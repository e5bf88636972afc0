"""What engines' logs said, in the report: which variant, what it means, what to do."""

from typing import Any

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.report.cards.markdown import cell
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.words import Language, phrase
from npu_conformance.workers.log import WARNINGS
from tests.unit.helpers.report_runs import Runs, line
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.shown_sections import english_in

SKIPPED = "Parameter fc.weight not found in params_dict, skip loading"
LOG: dict[str, Any] = {
    "lines": 90,
    "findings": [
        {"name": "KV scales of 1", "line": "Using KV cache scaling factor 1.0 for fp8_e4m3 | x", "times": 1},
        {"name": "weights skipped", "line": SKIPPED, "times": 7},
        {"name": "of a later release", "line": "new", "times": 1},
    ],
}


@pytest.mark.parametrize(
    ("language", "words"), [("en", "the engine left out weights of the"), ("zh", "引擎丢弃了检查点中的部分权重")]
)
def test_each_line_is_a_row(runs: Runs, language: Language, words: str) -> None:
    """What fails first, and what this release does not know is left out."""
    runs.variant("fresh_engine", log=LOG)
    report = runs.report()

    assert [row.times for row in report.models[0].variants[-1].log] == [7, 1]
    _, times, said, meaning, _ = line(report, f"❌ {cell('fresh_engine')} | 7", language, "log")
    assert (times, said) == ("7", cell(SKIPPED, 120))
    assert meaning.startswith(words)
    assert " \\| x |" in render_markdown(report, language)


def test_without_warnings_there_is_no_section(runs: Runs) -> None:
    """As of an engine behind a server."""
    assert "The engine's log" not in render_markdown(runs.report(), "en")


def test_a_warning_that_fails_nothing(scene: Scene) -> None:
    """Is told in the report; the check passes over it."""
    scene.edit_log("KV scales of 1", "Using KV cache scaling factor 1.0")
    (result,) = CHECKS["engine_log"].judge(scene.evidence())

    assert (result.verdict, result.observed, result.limit) == ("pass", 120, 120)


@pytest.mark.parametrize("log", [{"lines": "many"}, {"lines": -1}, [], "x", {"lines": 1, "findings": [{"name": 3}]}])
def test_a_damaged_log_is_an_error(runs: Runs, log: Any) -> None:
    """By the trace's name; the report is made all the same."""
    evidence = runs.variant("fresh_engine", log=log)
    (result,) = CHECKS["engine_log"].judge(evidence)

    assert result.verdict == "error"
    assert "its provenance has a log that cannot be read" in (result.message or "")
    assert runs.report().models[0].variants[-1].log == []


@pytest.mark.parametrize(("log", "why"), [(None, "was not read"), ({"lines": 0}, "is empty")])
def test_no_log_is_not_judged(runs: Runs, log: Any, why: str) -> None:
    """Nothing passes because there was nothing to read."""
    (result,) = CHECKS["engine_log"].judge(runs.variant("fresh_engine", log=log))

    assert (result.verdict, result.message) == ("not_applicable", f"the engine's log {why}")


def test_what_fails_by_a_line_is_said_in_chinese() -> None:
    """Of every warning that this release knows, with the line as it was written."""
    for row in WARNINGS.values():
        said = phrase("zh", f"{row.meaning}: `a line`; {row.remedy} (and 6 more)")

        assert english_in(said) is None, said
        assert said.endswith("（另有 6 处）")
        assert "`a line`" in said
