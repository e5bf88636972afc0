"""Builds the twins a run needs, side by side and each once, in the cache that all runs share."""

import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from npu_conformance.config.prompts import SHIPPED
from npu_conformance.errors import ConformanceError
from npu_conformance.machine.cache import touch
from npu_conformance.machine.capacity import cores
from npu_conformance.machine.locks import locked
from npu_conformance.machine.storage import cache_dir
from npu_conformance.run.interpreters import installed, interpreter_for
from npu_conformance.twins import architecture_of, base_of, called, recipe_digest
from npu_conformance.workers.job import TwinJob
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Observe

_DEADLINE = 1800


def twin_python(recipe: str, chosen: Path | None = None) -> Path | None:
    """The interpreter that trains a twin, and computes its reference; this one where None.

    Args:
        recipe: the twin's.
        chosen: by `--reference-python`.

    Raises:
        ConfigError: there is no such recipe.
        PlanError: no interpreter here knows its architecture.
    """
    return interpreter_for(architecture_of(recipe), chosen)


def twin_folder(recipe: str, chosen: Path | None = None) -> Path:
    """Where a twin is, or will be (arguments and errors: see `twin_python`)."""
    packages = installed(twin_python(recipe, chosen)).packages
    return cache_dir() / "twins" / f"{called(recipe)}-{recipe_digest(recipe, SHIPPED, packages)}"


def build_twins(recipes: list[str], jobs: Jobs, chosen: Path | None = None) -> dict[str, ConformanceError]:
    """Build those that are missing, each as soon as its base is there.

    A twin trains on one core, so as many are built at once as there are cores.

    Args:
        recipes: of twins whose architecture an interpreter here knows.
        jobs: of the run.
        chosen: by `--reference-python`.

    Returns:
        What went wrong, by recipe.
    """
    folders = {one: twin_folder(one, chosen) for one in with_bases(recipes)}
    missing = [one for one, folder in folders.items() if not is_whole(folder)]
    for folder in folders.values():
        touch(folder)
    if not missing:
        return {}
    running: dict[str, Future[None]] = {}
    with jobs.narrator.job(f"twins: {', '.join(map(called, missing))}") as observe, ThreadPoolExecutor(cores()) as pool:
        sum_up, stop = _Sum(observe), threading.Event()

        def build(recipe: str) -> None:
            # The pool begins them in this order, so that what is waited for is always under way.
            if (base := running.get(base_of(recipe) or "")) is not None:
                base.result()
            _build_one(recipe, jobs, chosen, sum_up.part(recipe), stop)

        for recipe in missing:
            running[recipe] = pool.submit(build, recipe)
        try:
            errors = {recipe: future.exception() for recipe, future in running.items()}
        except BaseException:
            # An interrupt reaches this thread only; the others would train on to the end.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for error in errors.values():
        if error is not None and not isinstance(error, ConformanceError):
            raise error
    return {recipe: error for recipe, error in errors.items() if isinstance(error, ConformanceError)}


def with_bases(recipes: Iterable[str]) -> list[str]:
    """These and what they are made from, each once: first all that need no other."""
    generations = [list(recipes)]
    while bases := [base for recipe in generations[-1] if (base := base_of(recipe))]:
        generations.append(bases)
    every = dict.fromkeys(recipe for generation in reversed(generations) for recipe in generation)
    return sorted(every, key=lambda recipe: base_of(recipe) is not None)


def _build_one(recipe: str, jobs: Jobs, chosen: Path | None, observe: Observe, stop: threading.Event) -> None:
    folder = twin_folder(recipe, chosen)
    folder.parent.mkdir(parents=True, exist_ok=True)
    waited = folder.with_name(f"{folder.name}.lock")
    with locked(waited, f"builds the same twin, {called(recipe)}", jobs.narrator.say, stop):
        if is_whole(folder):
            return  # another run was first
        shutil.rmtree(folder, ignore_errors=True)
        base = base_of(recipe)
        job = TwinJob(
            output=folder,
            recipe=recipe,
            prompts_dir=SHIPPED,
            base=None if base is None else twin_folder(base, chosen),
        )
        python = twin_python(recipe, chosen)
        jobs.run_observed(
            job, f"twin {called(recipe)}", _DEADLINE, observe, environment=jobs.on_the_host(), python=python, stop=stop
        )


def is_whole(folder: Path) -> bool:
    """Whether a twin is there: this file of it is written last."""
    return (folder / "twin.json").is_file()


class _Sum:
    """Several jobs' progress as that of one."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[int, int]] = {}

    def part(self, name: str) -> Observe:
        def observe(_phase: str, done: int, total: int) -> None:
            with self._lock:
                self._parts[name] = done, total
                done, total = (sum(column) for column in zip(*self._parts.values(), strict=True))
                self._observe("training", done, total)

        return observe
