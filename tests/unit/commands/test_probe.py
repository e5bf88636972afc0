"""A probe of real engines: what is right is ok; a fault of the machinery is told by the point that looks for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.helpers.suite_runs import ROOT, clean_environment
from tests.unit.whole.test_engine_faults import environment

# What the points say of the same faults without an engine is in test_probe_points.py.
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures("twin")]
FAULTS = {
    "rows_exchanged": ("rows_of_request", "are those of another"),
    "rows_late": ("sampled_token", "another argmax than the sampled token"),
    "hooks_blind": ("hidden_states", "the hook saw nothing"),
}


def probed(folder: Path, *words: str, **variables: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the points by id, and what was written."""
    command = [
        str(Path(sys.executable).with_name("npu-conformance")),
        "dev",
        "probe",
        "-o",
        str(folder / "out.json"),
        *words,
    ]
    result = subprocess.run(
        [*command, "--reports", str(folder)],
        cwd=ROOT,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=600,
    )
    path = folder / "out.json"
    assert path.is_file(), result.stderr
    points = {one["id"]: one for one in json.loads(path.read_text())["points"]}
    return result.returncode, points, path.read_text() + path.with_suffix(".md").read_text()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_by_its_point_alone(tmp_path: Path, fault: str) -> None:
    """The others are ok, or say that they rest on it; the engine computes and samples as before."""
    name, told = FAULTS[fault]
    status, points, _ = probed(tmp_path, "--engines", "eager", **environment(fault))
    verdicts = {point: one["verdict"] for point, one in points.items()}

    assert status == 1
    assert {point for point, verdict in verdicts.items() if verdict in ("wrong", "error")} == {name}, verdicts
    assert told in points[name]["engines"]["eager"]["message"]
    assert {"ok"} == {verdicts[one] for one in {"graph_mode", "memory", "sampled_token", "hidden_states"} - {name}}


def test_nothing_is_wrong_here(tmp_path: Path) -> None:
    """With every engine that the machine has; and the report tells nothing of it."""
    status, points, text = probed(tmp_path)
    verdicts = {point: one["verdict"] for point, one in points.items()}

    assert status == 0, text
    assert {point for point, verdict in verdicts.items() if verdict != "ok"} <= {"devices", "ranks"}
    assert verdicts["devices"] == "not here"
    assert points["memory"]["engines"].keys() == {"eager", "killed"}
    assert str(ROOT) not in text
    assert str(tmp_path) not in text
