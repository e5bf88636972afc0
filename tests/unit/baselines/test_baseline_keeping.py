"""Where baselines are, and the rules by which one is written."""

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.baselines import keeping
from npu_conformance.errors import ConfigError
from npu_conformance.measure.results import Result
from tests.unit.conftest import Scene
from tests.unit.helpers.accepted_runs import FACTS, accepted
from tests.unit.helpers.suite_runs import MODEL, ROOT, clean_environment, command

CLEAN = Result(check="x", variant="base", metric="x", verdict="pass")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"checks": [CLEAN.model_copy(update={"verdict": "fail"})]}, "is fail"),
        ({"checks": [CLEAN.model_copy(update={"verdict": "inconclusive"})]}, "is inconclusive"),
        ({"checks": []}, "is skipped"),
        ({"not_judged": ["base: drift"]}, "1 properties of base were not judged"),
        ({"own_weights": True}, "not the model config's"),
    ],
)
def test_what_is_no_pass_becomes_no_baseline(changes: dict[str, Any], told: str) -> None:
    """With the reason; a clean run does."""
    clean: dict[str, Any] = {"checks": [CLEAN], "not_judged": ["graph: x"], "own_weights": False}

    assert keeping.refusal(**clean) is None
    assert told in (keeping.refusal(**clean | changes) or "")


def test_only_what_is_there_is_updated(tmp_path: Path) -> None:
    """And only what is not is created."""
    path = tmp_path / "cpu.json"

    assert keeping.misplaced("create", path) is None
    assert "does not exist" in (keeping.misplaced("update", path) or "")
    path.touch()
    assert keeping.misplaced("update", path) is None
    assert "exists: replace it with --baseline=update" in (keeping.misplaced("create", path) or "")


def test_a_twins_baseline_and_a_models_never_change_places(scene: Scene, tmp_path: Path, cache: Path) -> None:
    """A twin's is kept beside the twins, and refused among the models'."""
    real = accepted(scene.evidence())
    twins = accepted(scene.evidence(), facts=FACTS | {"kind": "twin"})
    folder = tmp_path / "baselines"
    place = keeping.baseline_path(folder, "Model", "cpu", "twin")

    assert place.is_relative_to(cache / "twins")
    with pytest.raises(ConfigError, match="does not belong here"):
        keeping.write_baseline(folder / "Model" / "cpu.json", twins)
    with pytest.raises(ConfigError, match="does not belong here"):
        keeping.write_baseline(place, real)
    (folder / "Model").mkdir(parents=True)
    (folder / "Model" / "cpu.json").write_text(twins.model_dump_json())
    with pytest.raises(ConfigError, match="is of a twin subject"):
        keeping.find_baseline(folder, "Model", "cpu", "real")
    with pytest.raises(ConfigError, match="is of a twin subject"):
        keeping.check_kept(folder, "Model")


def test_a_baseline_says_by_itself_what_it_was_run_on(scene: Scene, tmp_path: Path) -> None:
    """A file under another platform's name is refused, whatever it is called inside."""
    path = tmp_path / "Model" / "npu.json"
    path.parent.mkdir()
    evidence = scene.evidence()
    ran = dataclasses.replace(evidence.candidate, provenance={"engine": "vllm", "platform": "cpu"})
    path.write_text(accepted(dataclasses.replace(evidence, candidate=ran), platform="npu").text())
    with pytest.raises(ConfigError, match=r"npu\.json: candidate: was run on cpu, expected npu"):
        keeping.find_baseline(tmp_path, "Model", "npu", "real")
    assert keeping.platform_of({"platform": "npu", "engine": "vllm"}) == "npu"
    assert keeping.platform_of({"platform": "cpu", "engine": "transformers"}) == "cpu-transformers"


def test_a_file_that_nobody_reads_is_found(tmp_path: Path) -> None:
    """A model that is gone, or a platform that does not exist; published reports are another matter."""
    folder, configs = tmp_path / "baselines", tmp_path / "model_configs"
    for name in (
        "Model/npu.json",
        "Model/published.json",
        "Model/npuu.json",
        "Gone/npu.json",
        "Gone/published.json",
        "stray.json",
        "Model/old/npu.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    configs.mkdir()
    (configs / "Model.yaml").touch()

    found = [str(path.relative_to(folder)) for path in keeping.unused(folder, configs)]
    assert found == ["Gone/npu.json", "Model/npuu.json", "Model/old/npu.json", "stray.json"]
    assert keeping.unused(folder, tmp_path / "elsewhere" / "model_configs") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("update", "--reason=new kernels"), r"--baseline=update: \S+/cpu\.json does not exist: make it with"),
        (("update",), "--baseline=update: say why with --reason"),
        (("create", "--prompts=3"), "--baseline=create: later runs, without --prompts, could not be judged by it"),
        (("create", "--candidate-weights=."), "--baseline=create: the candidate loaded weights that are not"),
    ],
)
def test_what_is_known_before_engines_start_is_refused_then(
    cache: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    """Not after hours of them."""
    action, *more = words
    line = command(tmp_path, "--twin", "--device=cpu", "-k", f"{MODEL}-base", f"--baseline={action}", *more)
    run = subprocess.run(line, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60)

    assert run.returncode == 4, run.stdout
    assert re.search(told, run.stderr)
    assert not cache.exists()
