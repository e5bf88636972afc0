"""How often a gate fails where nothing is wrong: prompt sets drawn again and again from one large run of a twin."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import beta

from npu_conformance.config.limits import FALSE_ALARMS, NOISE_FIGURES
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.module_errors import ModuleErrors
from npu_conformance.measure.noise import Floor, family
from npu_conformance.measure.statistics import LEVEL
from npu_conformance.run.session import Session
from npu_conformance.selftest.campaign import base_evidence

PROMPTS = 200
"""Captured of each twin."""
# Prompts of a set, and sets of each size.
_SIZES, _SETS = (12, 30, 60), 70


class Alarms(BaseModel):
    """What gates said of one twin's prompt sets."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    subject: str
    """The twin."""
    prompts: int
    """That sets are drawn from."""
    sets: int
    independent: float
    """Sets that they are worth: those of a size share prompts where they are more than fit."""
    engine: int
    """Sets on which a gate fails the engine."""
    floor_runs: int
    """Sets on which a gate fails a floor run of the noise floor, held against the others."""


def alarms(session: Session, model: str, subject: str) -> Alarms:
    """Judge the prompt sets of a twin, at the rate of false alarms of a run of one variant.

    Args:
        session: made for twins, with as many prompts as there are.
        model: name of its config.
        subject: what results call its twin.

    Raises:
        ConformanceError: the twin cannot be run.
    """
    evidence = base_evidence(session, model)
    dtype = evidence.config.serve.dtype
    limits = {figure.name: limit for figure in NOISE_FIGURES if (limit := figure.default_limit(dtype)) is not None}
    floor, prefill = evidence.floor, evidence.prefill_deviations
    random, engine, floor_runs = np.random.default_rng(len(evidence.prompts)), 0, 0
    for size in _SIZES * _SETS:
        chosen = sorted(random.choice(len(evidence.prompts), size, replace=False).tolist())
        drawn = {name: one.choose(chosen) for name, one in floor.items()}
        own = None if prefill is None else prefill.choose(chosen)
        modules = _some(evidence.layers_floor, size, random)
        engine += _flagged(evidence.deviations.choose(chosen), own, drawn, limits, modules)
        floor_runs += any(_flagged(one, None, _others(drawn, name), limits) for name, one in drawn.items())
    return Alarms(
        subject=subject,
        prompts=len(evidence.prompts),
        sets=len(_SIZES) * _SETS,
        independent=sum(min(_SETS, len(evidence.prompts) / size) for size in _SIZES),
        engine=engine,
        floor_runs=floor_runs,
    )


def upper_bound(alarms: int, sets: int, independent: float) -> float:
    """Of the rate, with 95 % confidence: Clopper and Pearson's, one-sided, on as many sets as these are worth."""
    hits = alarms / sets * independent
    return 1.0 if alarms == sets else float(beta.ppf(LEVEL, hits + 1, independent - hits))


def alarms_table(found: Sequence[Alarms]) -> str:
    """A page of Markdown."""
    sets, independent = sum(one.sets for one in found), sum(one.independent for one in found)
    rows = [f"| {one.subject} | {one.prompts} | {one.sets} | {one.engine} | {one.floor_runs} |" for one in found]
    told = [
        f"{name}: {alarms} of {sets} sets, which share prompts and are worth {independent:.0f}: at most "
        f"{upper_bound(alarms, sets, independent):.1%} with 95 % confidence."
        for name, alarms in (
            ("The engine", sum(one.engine for one in found)),
            ("A floor run of the floor against the others", sum(one.floor_runs for one in found)),
        )
    ]
    head = ["| twin | prompts | sets | engine flagged | a floor run flagged |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*told, f"Stated: {FALSE_ALARMS:.0%} of runs.", "", *head, *rows]) + "\n"


def _some(modules: ModuleErrors | None, prompts: int, random: np.random.Generator) -> ModuleErrors | None:
    """Of the prompts of which modules were looked at, which are fewer."""
    if modules is None:
        return None
    there = len(modules.prompts)
    return modules.choose(sorted(random.choice(there, min(prompts, there), replace=False).tolist()))


def _flagged(
    candidate: Deviations,
    prefill: Deviations | None,
    floor: Floor,
    limits: dict[str, float],
    modules: ModuleErrors | None = None,
) -> bool:
    judged = family(candidate, prefill, floor, limits, FALSE_ALARMS, modules)
    return any(not p_value > FALSE_ALARMS for p_value in judged.adjusted.values())


def _others(floor: Floor, name: str) -> Floor:
    return {other: one for other, one in floor.items() if other != name}
