"""A candidate's capture and the reference's of its tokens, judged as one run; without an engine."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands.captures.manifest import Role
from tests.unit.helpers.captured_runs import TRACES, capture_folder, change_rows, change_tokens, sealed
from tests.unit.helpers.report_runs import tell_provenance
from tests.unit.helpers.scenes import Scene

Compare = Callable[[Path, Path], tuple[int, str]]


@pytest.fixture
def compared(own_configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """The command: its status, and what it printed."""
    (own_configs / "Model.yaml").write_text("model: a/b\nlabels: {pattern: 'Safety: (?P<label>\\w+)'}\n")
    words = [f"--configs={own_configs}", f"--reports={tmp_path / 'reports'}", f"--baselines={tmp_path}"]

    def compare(first: Path, second: Path) -> tuple[int, str]:
        status = main(["merge", str(first), str(second), *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return compare


def judged(tmp_path: Path, *verdicts: str) -> set[str]:
    """Checks of the report that was left which have one of some verdicts."""
    (model,) = json.loads((tmp_path / "reports" / "latest" / "report.json").read_text())["models"]
    return {check["check"] for check in model["checks"] if check["verdict"] in verdicts}


def test_two_halves_are_judged_as_one_run(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """In either order; every check of a run is there, none fails, and a report is left."""
    tell_provenance(scene)
    mine = sealed(capture_folder(scene, tmp_path / "npu"))
    theirs = sealed(capture_folder(scene, tmp_path / "cpu", "reference"), "reference")

    for order in ((mine, theirs), (theirs, mine)):
        status, text = compared(*order)
        assert status == 0, text
    assert judged(tmp_path, "pass") >= {"token_agreement", "finite_logits", "error_over_floor", "prefill_closeness"}
    assert judged(tmp_path, "fail", "error") == set()
    assert len(list((tmp_path / "reports").glob("*-merge-Model"))) == 2


def test_a_fault_in_one_half_fails(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """As it would in one run."""
    tell_provenance(scene)
    mine = capture_folder(scene, tmp_path / "npu")
    change_rows(
        mine / TRACES / "base" / "candidate", 1, lambda rows: rows * np.linspace(0.5, 1.5, 20, dtype=np.float32)
    )
    theirs = sealed(capture_folder(scene, tmp_path / "cpu", "reference"), "reference")

    status, text = compared(sealed(mine), theirs)
    assert status == 1
    assert "Model: FAIL" in text
    assert "logits_closeness" in judged(tmp_path, "fail")
    assert "finite_logits" in judged(tmp_path, "pass")


def test_scores_of_other_tokens_are_refused(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """By variant, with what to do."""
    theirs = capture_folder(scene, tmp_path / "cpu", "reference", ("base", "as_served"))
    change_tokens(theirs / TRACES / "as_served" / "reference")
    mine = sealed(capture_folder(scene, tmp_path / "npu", variants=("base", "as_served")))

    status, text = compared(mine, sealed(theirs, "reference"))
    assert status == 1
    assert f"scored other tokens of as_served than {mine} has" in text
    assert f"--tokens {mine}" in text


def test_a_variant_without_scores_is_refused(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """One that is made to take base's tokens has base's."""
    mine = sealed(capture_folder(scene, tmp_path / "npu", variants=("base", "as_served", "graph")))
    theirs = sealed(capture_folder(scene, tmp_path / "cpu", "reference"), "reference")

    status, text = compared(mine, theirs)
    assert status == 1
    assert f"{theirs}: has no scores of as_served: capture the reference again" in text


def test_two_references_are_refused(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """Nothing of theirs is a candidate's."""
    folders = [sealed(capture_folder(scene, tmp_path / name, "reference"), "reference") for name in "ab"]

    status, text = compared(folders[0], folders[1])
    assert status == 1
    assert "both are the reference's" in text


@pytest.mark.parametrize("role", ["candidate", "reference"])
def test_one_folder_twice_is_refused(scene: Scene, tmp_path: Path, compared: Compare, role: Role) -> None:
    """Also by another way to it: it would be as good as itself."""
    folder = sealed(capture_folder(scene, tmp_path / "a", role), role)
    (tmp_path / "b").symlink_to(folder)

    status, text = compared(folder, tmp_path / "b")
    assert status == 1
    assert "are one folder" in text


def test_compare_takes_no_captures(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It did once; what to type now stands in the line."""
    tell_provenance(scene)
    mine = sealed(capture_folder(scene, tmp_path / "npu"))

    assert main(["compare", str(mine), str(tmp_path / "run")]) == 4
    assert f"npu-conformance merge {mine} {tmp_path / 'run'}" in capsys.readouterr().err
