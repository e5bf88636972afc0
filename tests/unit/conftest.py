"""Fixtures of the unit tests: everything a test writes stays in its own folder."""

from pathlib import Path

import pytest

from npu_conformance.run.build_twins import build_twins, twin_folder
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.published_checkpoints import DOWN, GATE, Published
from tests.unit.helpers.report_runs import Runs, made_up_runs
from tests.unit.helpers.scenes import Scene, clean_scene
from tests.unit.helpers.suite_runs import JUDGED_TWICE, ROOT, Outcome, judge


@pytest.fixture(scope="session")
def configs() -> Path:
    """The shipped model configs."""
    return ROOT / "model_configs"


@pytest.fixture
def own_configs(tmp_path: Path) -> Path:
    """A folder for model configs of this test's own."""
    folder = tmp_path / "model_configs"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(folder))
    return folder


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A clean run: the candidate is the reference rounded to bfloat16."""
    return clean_scene(tmp_path)


@pytest.fixture
def runs(scene: Scene, tmp_path: Path) -> Runs:
    """Base, with its prefill, block-boundary prompts and other batches."""
    return made_up_runs(scene, tmp_path)


@pytest.fixture
def fp8(tmp_path: Path) -> Published:
    """Two FP8 layers: the grid of the first is square, that of the second has blocks cut off at both edges."""
    return Published(tmp_path, "fp8", {GATE: (64, 64), DOWN: (40, 90)})


@pytest.fixture
def gptq(tmp_path: Path) -> Published:
    """A layer in asymmetric GPTQ with four bits and permuted inputs."""
    return Published(tmp_path, "gptq", {DOWN: (48, 256)})


@pytest.fixture
def plain(tmp_path: Path) -> Published:
    """Three layers alike, a norm and a matrix of another shape, none quantised."""
    alike = dict.fromkeys((GATE, DOWN, DOWN.replace("1", "0")), (64, 64))
    return Published(tmp_path, "plain", {"model.norm": (64,), **alike, "model.up": (9, 50)})


@pytest.fixture(scope="session")
def main_reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the main run's report is."""
    return tmp_path_factory.mktemp("main")


@pytest.fixture(scope="session")
def main_run(main_reports: Path) -> Outcome:
    """The main job: both variants that every model is judged in, all prompts."""
    return judge(main_reports, "--twin", "-k", JUDGED_TWICE)


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of Qwen3Guard's twin: a Qwen3 of four layers in bfloat16."""
    assert build_twins(["qwen3-guard"], Jobs(tmp_path_factory.mktemp("twin"), Narrator())) == {}
    return twin_folder("qwen3-guard")
