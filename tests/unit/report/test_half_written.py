"""The eye that looks for what a killed run left: it sees each kind of file that is cut short."""

from pathlib import Path

import numpy as np

from npu_conformance.report.model import Report
from npu_conformance.report.write import write_report
from tests.unit.helpers.baseline_runs import baseline_of
from tests.unit.helpers.half_written import half_written
from tests.unit.helpers.scenes import Scene

from . import test_report

report = test_report.report  # a fixture is found by name in each module


def test_a_file_that_is_cut_short_is_seen(report: Report, scene: Scene, tmp_path: Path) -> None:
    """And nothing where all are whole; what is staged, and logs, may be as they are."""
    folder = tmp_path / "left"
    write_report(report, folder / "run")
    baseline = folder / "baselines" / "Model" / "npu.json"
    baseline.parent.mkdir(parents=True)
    baseline.write_text(baseline_of(scene.evidence()).text())
    np.save(folder / "0000.npy", np.arange(100))
    for ignored in ("run/.report.md.1.x", "logs/log.json"):
        (folder / ignored).parent.mkdir(exist_ok=True)
        (folder / ignored).write_text("{")
    assert half_written(folder) == []

    for name in (
        "npu.json",
        "0000.npy",
        "report.json",
        "report.md",
        "details.md",
        "Model.zh.md",
        "index.html",
        "Model.png",
    ):
        (path,) = (one for one in folder.rglob(name) if not one.parent.is_symlink())
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        assert any(str(path) in told for told in half_written(folder)), name
        path.write_bytes(whole)
