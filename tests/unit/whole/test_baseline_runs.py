"""Baselines of real engines on a twin: made by a run that passes, and a later run judged without a reference."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.baselines.stored import read_baseline
from npu_conformance.machine.storage import cache_dir
from tests.unit.helpers.suite_runs import MODEL, ROOT, Outcome, changed_config, clean_environment, command, judge

BASE = f"{MODEL}-base"
PLUGIN = Path(__file__).parent / "engine_faults"
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("twin")]


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory, twin: Path) -> Path:
    """A cache with the twin and nothing else, so that every reference must be computed."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "twins").mkdir()
    (folder / "twins" / twin.name).symlink_to(twin)
    assert twin.is_relative_to(cache_dir())
    return folder


@pytest.fixture(scope="module")
def created(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run that made the baseline."""
    reports = tmp_path_factory.mktemp("created")
    return judge(reports, "--twin", "-k", BASE, "--baseline=create", NPU_CONFORMANCE_CACHE=str(own_cache))


@pytest.fixture
def baseline_only(created: Outcome, own_cache: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Judges by the baseline only."""
    assert created.status == 0, created.output

    def run(*words: str, **environment: str) -> Outcome:
        variables = {"NPU_CONFORMANCE_CACHE": str(own_cache)} | environment
        return judge(tmp_path, "--twin", "-k", BASE, "--baseline=only", *words, **variables)

    return run


def test_a_run_that_passes_becomes_one_once(created: Outcome, own_cache: Path, tmp_path: Path) -> None:
    """It is small, marked as a twin's, and beside the twins; a second asks for an update with a reason."""
    (path,) = (own_cache / "twins" / "baselines").glob("*/*.json")
    content = json.loads(path.read_text(encoding="utf-8"))

    assert created.status == 0, created.output
    assert re.search(rf"{MODEL}: \S+/twins/baselines/{MODEL}/cpu\.json: created, \d+ kB", created.output)
    assert path.stat().st_size < 300_000
    assert (content["subject"], content["verdict"], content["model"]) == ("twin", "pass", MODEL)
    assert content["figures"]["base"]["token_agreement: token_agreement"] == 1
    words = ("--twin", "-k", BASE, f"--from={created.folder}")
    again = judge(tmp_path, *words, "--baseline=create", NPU_CONFORMANCE_CACHE=str(own_cache))
    assert again.status == 1
    assert "no baseline written: " in again.output
    assert "exists: replace it with --baseline=update" in again.output


@pytest.mark.slow
def test_a_run_takes_the_place_of_one_it_cannot_be_held_against(
    created: Outcome, own_cache: Path, tmp_path: Path
) -> None:
    """Which keeps the history; without the option the same run is an error that says so."""
    assert created.status == 0, created.output
    (path,) = (own_cache / "twins" / "baselines").glob("*/*.json")
    content, environment = path.read_bytes(), {"NPU_CONFORMANCE_CACHE": str(own_cache)}
    before = read_baseline(path)
    other = before.identity.model_copy(update={"reference": "another"})
    path.write_text(before.model_copy(update={"identity": other}).sealed().text())
    try:
        run = judge(tmp_path, "--twin", "-k", BASE, "--baseline=update", "--reason=other weights", **environment)
        after = read_baseline(path)
    finally:
        path.write_bytes(content)
    again = judge(tmp_path, "--twin", "-k", f"{BASE} and regression", f"--from={run.folder}", **environment)

    assert run.status == 0, run.output
    assert run.verdicts()["regression"] == {"not_applicable"}
    assert [(one.action, one.reason) for one in after.history[1:]] == [("update", "other weights")]
    assert after.identity == before.identity
    assert again.status == 1
    assert "the weights of the reference changed: another in the baseline" in again.output


@pytest.mark.slow
def test_baseline_only_no_reference_is_computed(
    baseline_only: Callable[..., Outcome], created: Outcome, own_cache: Path, tmp_path: Path
) -> None:
    """By its plan, its jobs and its traces; and a clean engine passes."""
    words = command(tmp_path, "--twin", "-k", BASE, "--baseline=only", "--conformance-plan")
    environment = clean_environment(NPU_CONFORMANCE_CACHE=str(own_cache))
    plan = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60).stdout
    run = baseline_only()

    assert run.status == 0, run.output
    assert "0 reference passes, 0 noise floors" in plan
    assert {"regression", "error_over_floor", "token_agreement"} <= set(run.verdicts())
    assert run.verdicts()["error_over_floor"] == {"pass"}
    assert run.model()["verdict"] in ("pass", "inconclusive")
    folder = run.folder
    assert not list(folder.glob("traces/*/*/reference"))
    assert not list(folder.glob("logs/*reference*"))
    assert list(created.folder.glob("logs/*reference*"))


FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "decode_only": ("error_over_floor", {}),
    "noise": ("greedy_determinism", {}),
    "batch_row_2": ("batch_determinism", {}),
    "rope_theta": ("error_over_floor", {"rope_theta": 20_000.0}),
    "rms_norm_eps": ("error_over_floor", {"rms_norm_eps": 1e-3}),
}
"""The check that must fail, and what is changed in the checkpoint's config; without, the engine has the fault."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_baseline_only_faults_are_caught(
    baseline_only: Callable[..., Outcome], twin: Path, tmp_path: Path, fault: str
) -> None:
    """In the engine, and in what it loads."""
    words: tuple[str, ...] = ()
    environment = {"PYTHONPATH": f"{PLUGIN}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    environment |= {"ENGINE_FAULT": fault, "ENGINE_FAULT_LAYER": "2"}
    check, changes = FAULTS[fault]
    if changes:
        words, environment = (f"--candidate-weights={changed_config(twin, tmp_path / 'faulty', **changes)}",), {}
    run = baseline_only(*words, **environment)

    assert run.status == 1, run.output
    assert check in run.failing()
    # By which saved traces of it are refused as a baseline.
    assert run.model()["facts"]["own_weights"] is bool(changes)


def test_other_prompts_are_refused(baseline_only: Callable[..., Outcome]) -> None:
    """Before an engine starts."""
    run = baseline_only("--prompts=7")

    assert run.status == 1
    assert "other prompts: 7 in this run" in run.output
    assert run.report["run"]["engine_starts"] == 0
