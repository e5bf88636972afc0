"""Twins: that each is built once, and what they are taught."""

import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from npu_conformance.config.prompts import SHIPPED
from npu_conformance.errors import JobError
from npu_conformance.run.build_twins import build_twins, twin_folder
from npu_conformance.twins import RECIPES
from npu_conformance.twins.corpus import examples
from npu_conformance.twins.recipes import Trained
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if isinstance(recipe, Trained)])
def test_every_prompt_has_one_answer_in_the_corpus(name: str) -> None:
    """Two answers to one prompt would make the twin unsure, and its near-ties would be ours, not the engine's."""
    recipe = RECIPES[name]
    assert isinstance(recipe, Trained)
    corpus = examples(recipe, SHIPPED)
    answers: dict[Any, set[str]] = {}
    for example in corpus:
        answers.setdefault((example.prompt, example.chat), set()).add(example.answer)

    assert len(corpus) > 100
    assert all(len(found) == 1 for found in answers.values())


@pytest.mark.usefixtures("cache")
def test_two_that_build_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and takes its twin."""
    built: list[str] = []

    def slow_build(_jobs: Jobs, job: Any, *_: object, **__: object) -> None:
        time.sleep(0.5)
        assert not job.output.exists()
        job.output.mkdir(parents=True)
        (job.output / "twin.json").write_text("{}")
        built.append(job.recipe)

    monkeypatch.setattr(Jobs, "run_observed", slow_build)
    folder = twin_folder("qwen3-guard")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("half a twin, from a machine that lost its power")
    threads = [
        threading.Thread(target=build_twins, args=(["qwen3-guard"], Jobs(tmp_path, Narrator()))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert built == ["qwen3-guard"]


@pytest.mark.usefixtures("cache")
def test_an_interrupt_ends_waiting_and_begins_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another run holds a twin's lock, and others wait for a core."""
    begun: list[str] = []

    def build(_jobs: Jobs, job: Any, *_: object, stop: threading.Event, **__: object) -> None:
        begun.append(job.recipe)
        assert stop.wait(30)
        raise JobError("was stopped")

    def interrupt(*_: object) -> None:
        deadline = time.monotonic() + 30
        while not begun and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(Jobs, "run_observed", build)
    monkeypatch.setattr("npu_conformance.run.build_twins.cores", lambda: 2)
    monkeypatch.setattr(Future, "exception", interrupt)
    folder = twin_folder("qwen3-guard")
    folder.parent.mkdir(parents=True)
    started = time.monotonic()
    with FileLock(folder.with_name(f"{folder.name}.lock")), pytest.raises(KeyboardInterrupt):
        build_twins(["qwen3-guard", "bitcpm4", "qwen3.5"], Jobs(tmp_path, Narrator()))

    assert begun == ["bitcpm4"]
    assert time.monotonic() - started < 20


@pytest.mark.usefixtures("cache")
def test_a_base_is_built_first_and_its_failure_is_told_of_all_that_rest_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other twins are built."""
    asked: list[str] = []

    def build(_jobs: Jobs, job: Any, *_: object, **__: object) -> None:
        asked.append(job.recipe)
        if job.recipe == "qwen3.5":
            raise JobError("no memory")
        job.output.mkdir(parents=True)
        (job.output / "twin.json").write_text("{}")

    monkeypatch.setattr(Jobs, "run_observed", build)
    problems = build_twins(["qwen3-fp8", "qwen3.5-condenser"], Jobs(tmp_path, Narrator()))

    assert {name: str(error) for name, error in problems.items()} == {
        "qwen3.5": "no memory",
        "qwen3.5-condenser": "no memory",
    }
    assert asked.index("qwen3-guard") < asked.index("qwen3-fp8")
    assert "qwen3.5-condenser" not in asked
