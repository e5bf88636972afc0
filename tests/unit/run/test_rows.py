"""After a run: rows that nothing asks for go, and what is left is judged to the same results."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.saved import keep_comparisons
from npu_conformance.errors import TraceError
from npu_conformance.measure.kept import COMPARISONS
from npu_conformance.measure.results import Result, Verdict
from npu_conformance.report.model import build_report
from npu_conformance.run.rows import drop_judged, may_drop, removed_line
from npu_conformance.traces.rows import Rows, pack
from npu_conformance.traces.sealed import require_sealed
from npu_conformance.traces.trace import BOUNDARY, WITHOUT_ADAPTER, Trace, load_trace
from tests.unit.helpers.report_runs import RUN
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.suite_runs import ROOT

VARIANT = "chunked_prefill"


def results(evidence: Evidence) -> list[Result]:
    """Of all checks that look at logits."""
    return [result for check in CHECKS.values() for result in check.judge(evidence)]


def laid_out(scene: Scene, folder: Path) -> Evidence:
    """A variant's traces in a run's folder, judged."""
    evidence = scene.forced(VARIANT, lambda rows: rows * 1.0001, enable_chunked_prefill=True)
    place = folder / "traces" / "Model"
    shutil.rmtree(evidence.candidate.folder / WITHOUT_ADAPTER)
    shutil.move(evidence.candidate.folder, place / VARIANT / "candidate")
    shutil.copytree(scene.folder / "candidate", place / "base" / "candidate")
    return dataclasses.replace(evidence, candidate=load_trace(place / VARIANT / "candidate"))


def dropped(folder: Path, verdict: Verdict, check_id: str = "variant_closeness") -> int:
    """What a run with such a result removes."""
    check = Result(check=check_id, variant=VARIANT, metric="kl_mean", verdict=verdict)
    report = build_report(folder, {"Model": [check]}, {"Model": "twin"}, RUN, ROOT / "baselines")
    return drop_judged(folder, report)


@pytest.mark.parametrize("verdict", ["pass", "inconclusive"])
def test_without_rows_the_results_are_the_same(scene: Scene, tmp_path: Path, verdict: Verdict) -> None:
    """To the last digit, and no row is read."""
    evidence = laid_out(scene, tmp_path / "run")
    before = results(evidence)
    place = tmp_path / "run" / "traces" / "Model"
    keep_comparisons(place, evidence)
    taken = dropped(tmp_path / "run", verdict)
    assert removed_line(taken).startswith(f"removed {taken / 1000:.1f} KB of logits")

    require_sealed(place, [VARIANT, "base"])
    assert not evidence.candidate.has_rows
    assert load_trace(place / "base" / "candidate").has_rows
    again = dataclasses.replace(evidence, base=scene.base(), kept=place / VARIANT / COMPARISONS)
    assert results(again) == before


def test_rows_of_what_failed_stay(scene: Scene, tmp_path: Path) -> None:
    """Somebody will look at them; they are then compared anew, not what was kept."""
    evidence = laid_out(scene, tmp_path / "run")
    results(evidence)
    place = tmp_path / "run" / "traces" / "Model"
    keep_comparisons(place, evidence)

    assert dropped(tmp_path / "run", "fail") == dropped(tmp_path / "run", "error") == 0
    shutil.rmtree(place / VARIANT / COMPARISONS)
    (place / VARIANT / COMPARISONS).mkdir()
    again = dataclasses.replace(evidence, base=scene.base(), kept=place / VARIANT / COMPARISONS)
    assert len(again.comparison) == 600


def test_rows_go_where_an_answer_alone_failed(scene: Scene, tmp_path: Path) -> None:
    """A wrong answer is read in its words; logits would not say more of it."""
    evidence = laid_out(scene, tmp_path / "run")
    results(evidence)
    keep_comparisons(tmp_path / "run" / "traces" / "Model", evidence)

    assert dropped(tmp_path / "run", "fail", "expected_substrings") > 0


def test_what_was_not_kept_is_said(scene: Scene, tmp_path: Path) -> None:
    """By file, with what to do."""
    evidence = laid_out(scene, tmp_path / "run")
    results(evidence)
    place = tmp_path / "run" / "traces" / "Model"
    keep_comparisons(place, evidence)
    dropped(tmp_path / "run", "pass")
    (place / VARIANT / COMPARISONS / "reference.npz").unlink()

    again = dataclasses.replace(evidence, base=scene.base(), kept=place / VARIANT / COMPARISONS)
    with pytest.raises(TraceError, match=r"comparisons/reference\.npz: cannot be read: .*; run the model again"):
        _ = again.comparison
    with pytest.raises(TraceError, match=r"0000\.npy: is missing; run the model again with --keep-traces"):
        again.candidate.logits(0)


@pytest.mark.parametrize("part", ["", BOUNDARY])
def test_rows_of_what_no_selected_test_found_stay(scene: Scene, tmp_path: Path, part: str) -> None:
    """Of a logit that is not finite, and of a pair that cannot be compared, rows alone tell where."""
    evidence = laid_out(scene, tmp_path / "run")
    folder = evidence.candidate.folder / part
    if part:
        (folder / "0000.npy").write_bytes(b"cut")
    else:
        rows = evidence.candidate.logits(0)
        rows[2, 5] = np.nan
        (folder / "0000.npy").unlink()
        np.save(folder / "0000.npy", pack(rows)[0])
    results(evidence)
    keep_comparisons(tmp_path / "run" / "traces" / "Model", evidence)

    assert dropped(tmp_path / "run", "pass") == 0
    assert evidence.candidate.has_rows


def test_base_and_what_is_read_again_is_kept(scene: Scene) -> None:
    """Others take base's tokens; an adapter's effect is read from rows."""
    assert not may_drop("base", scene.evidence().candidate)
    assert not may_drop("as_served", scene.evidence().candidate)
    shutil.rmtree(scene.folder / "candidate" / WITHOUT_ADAPTER)
    assert may_drop("as_served", scene.evidence().candidate)


def test_no_row_is_read_twice_for_what_is_kept(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is what was compared for the checks."""
    evidence = laid_out(scene, tmp_path / "run")
    results(evidence)

    def refuse(*_: object) -> Rows:
        raise AssertionError("a row is read again")

    monkeypatch.setattr(Trace, "logits", refuse)
    keep_comparisons(tmp_path / "run" / "traces" / "Model", evidence)
    assert sorted(path.stem for path in (tmp_path / "run").glob(f"traces/Model/{VARIANT}/{COMPARISONS}/*")) == [
        "base",
        "boundary",
        "own_prefill",
        "prefill",
        "reference",
    ]
