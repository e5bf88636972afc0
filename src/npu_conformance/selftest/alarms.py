"""How often the verdict is wrong where nothing is: prompt sets drawn again and again from one large run of a twin."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import beta

from npu_conformance.checks import CALIBRATED, CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.module_errors import ModuleErrors
from npu_conformance.measure.results import Verdict, worst
from npu_conformance.measure.statistics import LEVEL
from npu_conformance.run.session import Session
from npu_conformance.selftest.campaign import base_evidence
from npu_conformance.selftest.drawn import draw, floor_run_as_candidate

PROMPTS = 200
"""Captured of each twin."""
_SIZES = (12, 40, 100)
# Times that the prompts are dealt anew into sets, of which those of one deal share none.
_DEALS = 10
_HARD = ("prompt_tokens", "finite_logits", "answer_ends", "greedy_determinism")
_FIGURES = ("token_agreement", "logits_closeness", "prefill_closeness", "decode_against_prefill")


Kind = Verdict | Literal["inconclusive gate"]


class Count(BaseModel):
    """Verdicts on the prompt sets of one size."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    size: int
    """Prompts of a set."""
    sets: int
    independent: int
    """Those that share no prompt."""
    failed: int
    inconclusive: int
    by_gates: int
    """Of those that are inconclusive, where a gate is; others are for want of positions that show a rate."""


class Alarms(BaseModel):
    """What the suite said of one twin's prompt sets."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    subject: str
    """The twin."""
    prompts: int
    """That sets are drawn from."""
    engine: tuple[Count, ...]
    """By size."""
    floor_runs: tuple[Count, ...]
    """The same of each floor run, held against the others."""
    by: dict[str, int]
    """Checks that failed, and how often."""


def alarms(session: Session, model: str, subject: str) -> Alarms:
    """Judge the prompt sets of a twin, at the rate of false alarms of a run of one variant.

    Args:
        session: made for twins, with as many prompts as there are.
        model: name of its config.
        subject: what results call its twin.

    Raises:
        ConformanceError: the twin cannot be run.
    """
    return alarms_of(base_evidence(session, model), subject)


def alarms_of(evidence: Evidence, subject: str) -> Alarms:
    """The same of a run that is there.

    Args:
        evidence: of the twin in base.
        subject: what results call it.
    """
    by = Counter[str]()
    engine, floor_runs = [], []
    for size in _SIZES:
        mine, theirs = Counter[Kind](), Counter[Kind]()
        for chosen in _sets(len(evidence.prompts), size):
            drawn = replace(draw(evidence, chosen), module_errors=_modules(evidence, chosen))
            mine[_verdict(drawn, by)] += 1
            for name in drawn.floor:
                theirs[_verdict(floor_run_as_candidate(drawn, name), by)] += 1
        independent = len(evidence.prompts) // size
        engine.append(_count(size, mine, independent))
        floor_runs.append(_count(size, theirs, independent * len(evidence.floor)))
    return Alarms(
        subject=subject, prompts=len(evidence.prompts), engine=tuple(engine), floor_runs=tuple(floor_runs), by=dict(by)
    )


def _sets(prompts: int, size: int) -> Iterator[list[int]]:
    """Places of the prompts of each set."""
    random = np.random.default_rng([prompts, size])
    for _ in range(_DEALS):
        dealt = random.permutation(prompts)
        yield from (sorted(dealt[start : start + size].tolist()) for start in range(0, prompts - size + 1, size))


def _modules(evidence: Evidence, chosen: Sequence[int]) -> ModuleErrors | None:
    """Errors of attentions and MLPs of as many prompts as are in a set, from the few that they are measured of."""
    if evidence.module_errors is None:
        return None
    known = len(evidence.module_errors.prompts)
    places = np.random.default_rng(chosen).permutation(known)[: len(chosen)]
    return evidence.module_errors.choose(sorted(places.tolist()))


def _verdict(evidence: Evidence, by: Counter[str]) -> Kind:
    """Of all that depends on which prompts are asked."""
    gates = [one for gate in CALIBRATED for one in gate.judge(evidence)]
    found = [*gates, *(one for check in (*_HARD, *_FIGURES) for one in CHECKS[check].judge(evidence))]
    by.update({f"{one.check}: {one.metric}" for one in found if one.verdict in ("fail", "error")})
    verdict = worst(one.verdict for one in found)
    if verdict == "inconclusive" and worst(one.verdict for one in gates) == "inconclusive":
        return "inconclusive gate"
    return verdict


def _count(size: int, verdicts: Counter[Kind], independent: int) -> Count:
    return Count(
        size=size,
        sets=verdicts.total(),
        independent=independent,
        failed=verdicts["fail"] + verdicts["error"],
        inconclusive=verdicts["inconclusive"] + verdicts["inconclusive gate"],
        by_gates=verdicts["inconclusive gate"],
    )


def upper_bound(failed: int, sets: int, independent: float) -> float:
    """Of the rate, with 95 % confidence: Clopper and Pearson's, one-sided, on as many sets as these are worth."""
    hits = failed / sets * independent
    return 1.0 if failed == sets else float(beta.ppf(LEVEL, hits + 1, independent - hits))


def alarms_table(found: Sequence[Alarms]) -> str:
    """A page of Markdown."""
    lines = [f"Stated: {FALSE_ALARMS:.0%} of runs fail where nothing is wrong.", ""]
    lines += ["| whose sets | prompts | sets | failed | at most, with 95 % confidence | inconclusive | in a gate |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for whose, counts in (
        ("the engine", [count for one in found for count in one.engine]),
        ("floor runs against the others", [count for one in found for count in one.floor_runs]),
    ):
        lines += [_row(whose, size, [one for one in counts if one.size == size]) for size in _SIZES]
    lines += ["", "| twin | prompts | engine failed | a floor run failed | checks that failed |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {one.subject} | {one.prompts} | {_failed(one.engine)} | {_failed(one.floor_runs)} | {_checks(one)} |"
        for one in found
    ]
    return "\n".join(lines) + "\n"


def rate(counts: Sequence[Count]) -> float:
    """Share of sets that failed."""
    return sum(one.failed for one in counts) / sum(one.sets for one in counts)


def _row(whose: str, size: int, counts: Sequence[Count]) -> str:
    sets, failed, independent, left, by_gates = (
        sum(getattr(one, name) for one in counts)
        for name in ("sets", "failed", "independent", "inconclusive", "by_gates")
    )
    if not sets:
        return f"| {whose} | {size} | 0 | | | | |"
    bound = f"{upper_bound(failed, sets, independent):.1%} (worth {independent} sets)"
    return f"| {whose} | {size} | {sets} | {failed} | {bound} | {left / sets:.1%} | {by_gates / sets:.1%} |"


def _failed(counts: Sequence[Count]) -> str:
    return f"{sum(one.failed for one in counts)} of {sum(one.sets for one in counts)}"


def _checks(one: Alarms) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(one.by.items())) or "none"
