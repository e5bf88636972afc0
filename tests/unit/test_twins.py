"""Twins: when one is built again, and that it is built once."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.errors import ConfigError
from npu_conformance.progress import Narrator
from npu_conformance.session import Session, Settings
from npu_conformance.twins import RECIPES, recipe_digest
from npu_conformance.twins.corpus import examples


def test_the_digest_changes_with_the_prompts(tmp_path: Path, configs: Path) -> None:
    """A twin is trained on them."""
    copy = Path(shutil.copytree(configs / "prompts", tmp_path / "prompts"))
    before = recipe_digest("qwen3-guard", copy)
    assert before == recipe_digest("qwen3-guard", configs / "prompts")

    path = copy / "maths.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    assert recipe_digest("qwen3-guard", copy) != before


def test_an_unknown_recipe_lists_the_known(configs: Path) -> None:
    """With a suggestion."""
    with pytest.raises(ConfigError, match="did you mean 'qwen3-guard'"):
        recipe_digest("qwen3-gard", configs / "prompts")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_prompt_has_one_answer_in_the_corpus(configs: Path, recipe: Any) -> None:
    """Two answers to one prompt would make the twin unsure, and its near-ties would be ours, not the engine's."""
    corpus = examples(configs / "prompts", recipe.seed)
    answers: dict[Any, set[str]] = {}
    for example in corpus:
        answers.setdefault((example.prompt, example.chat), set()).add(example.answer)

    assert len(corpus) > 100
    assert all(len(found) == 1 for found in answers.values())


@pytest.mark.usefixtures("cache")
def test_two_that_build_at_once_build_once(tmp_path: Path, configs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and takes its twin."""
    built: list[str] = []

    def slow_build(_session: Session, job: Any, *_: object, **__: object) -> None:
        time.sleep(0.5)
        assert not job.output.exists()
        job.output.mkdir(parents=True)
        (job.output / "twin.json").write_text("{}")
        built.append(job.recipe)

    monkeypatch.setattr(Session, "_job", slow_build)
    sessions = [Session(Settings(configs=configs, twin=True), tmp_path / name, Narrator()) for name in ("a", "b")]
    folder = sessions[0].subject("Qwen3Guard-Gen-4B").reference
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("half a twin, from a machine that lost its power")
    threads = [threading.Thread(target=session._build_twin, args=("qwen3-guard", folder)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert built == ["qwen3-guard"]
