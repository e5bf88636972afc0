"""Speed on the command line: a run's is kept by its baseline, and a slower run fails by it. Of recorded runs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from npu_conformance.baselines.stored import read_baseline
from npu_conformance.config.identity import config_digest
from npu_conformance.config.model import load_config
from npu_conformance.machine.storage import write_json
from npu_conformance.traces.performance import Performance, save_performance
from tests.unit.helpers.captured_runs import TRACES
from tests.unit.helpers.saved_runs import reseal, saved_run
from tests.unit.helpers.scenes import clean_scene
from tests.unit.helpers.speeds import speed
from tests.unit.helpers.suite_runs import Outcome, clean_environment, command, outcome

# The scene has 600 positions, all of which agree: as many as show 93 %.
YAML = """
limits: {token_agreement: {value: 0.9, reason: a scene is small}}
performance: {min_ratio: {single_tpot_p50_ms: 0.9}}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `configs` and a `run` of base and as_served."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "scene").mkdir()
    run = saved_run(clean_scene(folder / "scene"), folder)
    shutil.copytree(run / TRACES / "base", run / TRACES / "as_served")
    with (folder / "configs" / "Model.yaml").open("a", encoding="utf-8") as file:
        file.write(YAML)
    subject = run / TRACES / "subject.json"
    facts = json.loads(subject.read_text(encoding="utf-8"))
    config = load_config(folder / "configs" / "Model.yaml")
    write_json(subject, facts | {"config_digest": config_digest(config), "variants": ["base", "as_served"]})
    return folder


def judged(recorded: Path, place: Path, now: Performance, *words: str, baseline: Path | None = None) -> Outcome:
    """A run of that speed, judged from the command line."""
    run = Path(shutil.copytree(recorded / "run", place / "run"))
    save_performance(run / TRACES, now)
    if baseline is not None:  # as a run keeps the one that it is held against
        shutil.copyfile(baseline, run / TRACES / "baseline.json")
    reseal(run)
    line = command(place / "reports", "-o", f"model_configs={recorded / 'configs'}", f"--from={run}")
    line += ["-o", f"baselines={place / 'baselines'}", *words]
    done = subprocess.run(line, env=clean_environment(), capture_output=True, text=True, timeout=120)
    return outcome(done.returncode, done.stdout + done.stderr, place / "reports")


@pytest.fixture(scope="module")
def created(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of a run that measured its speed."""
    place = tmp_path_factory.mktemp("created")
    run = judged(recorded, place, speed(), "--baseline=create", "--performance")
    assert run.status == 0, run.output
    (path,) = (place / "baselines").glob("Model/*.json")
    return path


def test_a_run_that_measured_its_speed_leaves_it_in_its_baseline(created: Path) -> None:
    """All that was measured, with what was asked and of which device."""
    assert read_baseline(created).performance == speed()


@pytest.mark.parametrize(("factor", "verdict"), [(0.8, "fail"), (0.95, "pass")])
def test_a_later_run_is_held_against_it(
    recorded: Path, created: Path, tmp_path: Path, factor: float, verdict: str
) -> None:
    """By the limits of the YAML: a slower one fails, by name; what has no limit is shown."""
    run = judged(recorded, tmp_path, speed(factor), baseline=created)
    found = {one["at"]: one for one in run.model("Model")["checks"] if one["metric"] == "speed_over_baseline"}

    assert run.status == (1 if verdict == "fail" else 0), run.output
    assert run.failing("Model") == ({"performance_regression"} if verdict == "fail" else set())
    assert found["speed:single_tpot_p50_ms"]["verdict"] == verdict
    assert found["speed:single_tpot_p50_ms"]["observed"] == pytest.approx(factor)
    assert found["speed:throughput_tokens_per_s"]["verdict"] == "shown"
