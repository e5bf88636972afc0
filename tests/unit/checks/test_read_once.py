"""Judging a variant reads each stored row once, whatever is compared of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.report.details import save_details
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import Trace
from tests.unit.helpers.report_runs import FACTS
from tests.unit.helpers.scenes import Scene


@pytest.mark.parametrize("variant", ["base", "chunked_prefill"])
def test_each_row_is_read_once(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    """By all checks and by the report's details; the parts of one token a prompt are another check's."""
    evidence = scene.evidence() if variant == "base" else scene.forced(variant, enable_chunked_prefill=True)
    read: Counter[tuple[str, int, int]] = Counter()
    logits = Trace.logits

    def counted(self: Trace, index: int, rows: slice = slice(None)) -> Rows:
        # The adapter's effect asks for first rows alone.
        first = range(len(self.answers[index].token_ids))[rows] if rows != slice(1) else ()
        for place in first:
            read[str(self.folder.relative_to(scene.folder)), index, place] += 1
        return logits(self, index, rows)

    monkeypatch.setattr(Trace, "logits", counted)
    save_details(tmp_path, "Model", FACTS | {"variants": [variant]}, evidence)
    results: list[Any] = [result for check in CHECKS.values() for result in check.judge(evidence)]

    assert len(results) > 20
    assert {folder.split("/")[0] for folder, *_ in read} >= {"reference", "candidate"}
    assert {place: count for place, count in read.items() if count > 1} == {}
