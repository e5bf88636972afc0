"""Where baselines are, and the rules by which one is written."""

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.baselines import keeping
from npu_conformance.baselines.against import other_prompts
from npu_conformance.config.prompts import PromptUse, load_prompts
from npu_conformance.errors import ConfigError, ConformanceError
from npu_conformance.measure.results import Result
from npu_conformance.run.keep import require_all_prompts
from npu_conformance.run.refusals import no_baseline
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.baseline_runs import FACTS, baseline_of
from tests.unit.helpers.scenes import Scene
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
    why = keeping.refusal(**clean | changes) or ""
    assert told in why
    assert why.endswith("more prompts may settle it: --prompts N") == ("inconclusive" in told)


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
    real = baseline_of(scene.evidence())
    twins = baseline_of(scene.evidence(), facts=FACTS | {"kind": "twin"})
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
    path.write_text(baseline_of(dataclasses.replace(evidence, candidate=ran), platform="npu").text())
    with pytest.raises(ConfigError, match=r"npu\.json: candidate: was run on cpu, expected npu"):
        keeping.find_baseline(tmp_path, "Model", "npu", "real")
    assert keeping.platform_of({"platform": "npu", "engine": "vllm"}) == "npu"
    assert keeping.platform_of({"platform": "cpu", "engine": "transformers"}) == "cpu-transformers"


def test_a_file_that_nobody_reads_is_found(tmp_path: Path) -> None:
    """A model that is gone, or a platform that does not exist; published reports and other engines' are read."""
    folder, configs = tmp_path / "baselines", tmp_path / "model_configs"
    for name in (
        "Model/npu.json",
        "Model/published.json",
        "Model/npu-transformers.json",
        "Model/npu-mindie.json",
        "Model/npu-.json",
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
    assert found == ["Gone/npu.json", "Model/npu-.json", "Model/npuu.json", "Model/old/npu.json", "stray.json"]
    assert keeping.unused(folder, tmp_path / "elsewhere" / "model_configs") == []


def test_a_run_of_more_prompts_becomes_one_and_of_fewer_none(scene: Scene, own_configs: Path) -> None:
    """So that what a run is told, to use more prompts, can be done."""
    (own_configs / "Model.yaml").write_text("model: a/b\nprompts: [guard]\n")
    own = load_prompts([PromptUse(set="guard")], own_configs / "prompts")
    more = load_prompts([PromptUse(set="guard")], own_configs / "prompts", len(own) + 9)
    session = Session(Settings(own_configs), own_configs.parent / "run", Narrator())
    evidence = scene.evidence()

    for prompts in (own, more):
        require_all_prompts(session, "Model", dataclasses.replace(evidence, prompts=tuple(prompts)))
    with pytest.raises(ConformanceError, match="leave out --prompts, or ask for more"):
        require_all_prompts(session, "Model", dataclasses.replace(evidence, prompts=tuple(own[1:])))


@pytest.mark.parametrize(("more", "told"), [(9, None), (-1, "ask for 14 prompts or more"), (0, None)])
@pytest.mark.usefixtures("cache")
def test_more_prompts_than_the_configs_are_allowed_before_the_run(
    own_configs: Path, more: int, told: str | None
) -> None:
    """Fewer are refused, with how many it takes."""
    (own_configs / "Model.yaml").write_text("model: a/b\ntwin: qwen3-guard\nprompts: [guard]\n")
    settings = Settings(own_configs, twin=True, device="cpu", baseline="create", prompts=14 + more)
    session = Session(settings, own_configs.parent / "run", Narrator())

    why = no_baseline(session, "Model")
    assert (why is None) if told is None else (told in (why or ""))


def test_a_baseline_of_more_prompts_says_how_many_it_takes(scene: Scene) -> None:
    """A run to be judged by it only needs all of them."""
    found = baseline_of(scene.evidence())
    asked = [(prompt.id, ids) for prompt, ids in zip(found.prompts, found.prompt_ids, strict=True)]

    assert other_prompts(asked, found) is None
    assert "use --prompts 3, or update the baseline" in (other_prompts(asked[:2], found) or "")
    assert "leave out --prompts, or update the baseline" in (other_prompts(asked[1:], found) or "")


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
