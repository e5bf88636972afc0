"""What a run takes in all, and whether this machine has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.commands.plan.forecast import Forecast
from npu_conformance.commands.plan.step import Step
from npu_conformance.machine.capacity import GIB, cores, existing, free_disk, free_memory
from npu_conformance.run.cost import shortage


@dataclass(frozen=True)
class Totals:
    """Sums over a run's steps, which come one after another, but for twins."""

    seconds: float
    memory: float
    """Most bytes at once."""
    cache: float
    """Bytes of disk in the cache."""
    reports: float
    """Bytes of disk in the folder of reports, those included that are needed only while an engine runs."""


def totals(forecast: Forecast, cache: Path, reports: Path) -> Totals:
    """What a run takes in all.

    Args:
        forecast: the run.
        cache: folder of the cache; need not exist.
        reports: folder of reports; need not exist.
    """
    twins, engines = forecast.of("twin"), forecast.of("engine")
    passes = [*forecast.of("reference"), *forecast.of("noise floor")]
    others = [step for step in forecast.steps if step.kind != "twin"]
    at_once = min(cores(), len(twins))
    logits = sum(step.take.disk for step in passes)
    return Totals(
        seconds=_seconds(others) + (_seconds(twins) / at_once if at_once else 0),
        memory=max([at_once * max([step.take.memory for step in twins], default=0), *_memories(others)], default=0),
        cache=logits + sum(step.take.disk for step in (*twins, *forecast.of("conversion"))),
        reports=sum(step.take.disk for step in engines)
        + max([step.take.scratch for step in engines], default=0)
        # Traces link to the cached logits; on another disk they are copied.
        + (0 if _same_disk(cache, reports) else logits),
    )


def shortages(forecast: Forecast, cache: Path, reports: Path) -> list[str]:
    """What would be refused or may not fit, a line each; nothing where all fits.

    Args:
        forecast: the run.
        cache: folder of the cache; need not exist.
        reports: folder of reports; need not exist.
    """
    found = dict.fromkeys(line for step in forecast.steps for line in _too_little(step, cache / "references"))
    return [*found, *_too_little_disk(totals(forecast, cache, reports), cache, reports)]


def _too_little(step: Step, references: Path) -> list[str]:
    """What one step lacks."""
    if step.refusable and (problem := shortage(step.take.memory, step.take.disk, references)) is not None:
        return [f"{step.model}: would be refused before any engine starts: {problem}"]
    name, found = f"{step.model} {step.name} ({step.kind})", []
    if step.take.memory > (free := free_memory()):
        found.append(
            f"{name}: may not fit: takes {step.take.memory / GIB:.1f} GiB of memory, {free / GIB:.1f} GiB are free"
        )
    if step.deadline is not None and step.take.seconds > step.deadline:
        found.append(
            f"{name}: may be ended: takes {step.take.seconds:.0f} s, its deadline is {step.deadline:.0f} s: give it "
            "another with --deadline"
        )
    return found


def _too_little_disk(whole: Totals, cache: Path, reports: Path) -> list[str]:
    needs = {cache: whole.cache, reports: whole.reports}
    if _same_disk(cache, reports):
        needs = {cache: whole.cache + whole.reports}
    return [
        f"the run may not fit: takes {need / GIB:.1f} GiB of the disk of {folder}, {free_disk(folder) / GIB:.1f} GiB "
        "are free"
        for folder, need in needs.items()
        if need > free_disk(folder)
    ]


def _seconds(steps: Sequence[Step]) -> float:
    return sum(step.take.seconds for step in steps)


def _memories(steps: Sequence[Step]) -> list[float]:
    return [step.take.memory for step in steps]


def _same_disk(one: Path, other: Path) -> bool:
    return existing(one).stat().st_dev == existing(other).stat().st_dev
