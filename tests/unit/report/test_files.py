"""The files of a checkpoint in the report: digests, and whether they are the published ones."""

import pytest

from npu_conformance.checkpoints.published_digests import FileDigest
from npu_conformance.report.details import SubjectFacts
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.words import Language
from tests.unit.helpers.report_runs import FACTS, Runs

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("yes", "❌ no", "not read", "not known")), ("zh", ("一致", "❌ 不一致", "未读取", "未知"))],
)
def test_each_file_has_its_digest_and_its_publisher(runs: Runs, language: Language, words: tuple[str, ...]) -> None:
    """Of the candidate's; the reference's only where they are others."""
    report: Report = runs.report()
    states = ("as published", "differs", "not read", "unknown")
    files = [
        FileDigest(
            name=f"{number}.safetensors",
            sha256=None if state == "not read" else SHA,
            published=state,
            source=None if state == "unknown" else "SHA256SUMS|",
        )
        for number, state in enumerate(states)
    ]
    report.models[0].facts = SubjectFacts.model_validate(FACTS | {"files": files})

    lines = render_markdown(report, language).splitlines()
    assert f"| 0.safetensors | {SHA} | {words[0]} (SHA256SUMS\\|) |" in lines
    assert f"| 1.safetensors | {SHA} | {words[1]} (SHA256SUMS\\|) |" in lines
    assert f"| 2.safetensors | — | {words[2]} (SHA256SUMS\\|) |" in lines
    assert f"| 3.safetensors | {SHA} | {words[3]} |" in lines
    assert sum(line.startswith("| 0.safetensors") for line in lines) == 1
