"""What became of a model since its baseline."""

import numpy as np

from npu_conformance.baselines.against import BaselineDiff
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.undecided import enough
from npu_conformance.errors import TraceError
from npu_conformance.machine.provenance import changed, made_by
from npu_conformance.measure.growth import FLIPS, GROWTH, PROMPTS, RunPair, Test, error_of, grown, prompts_needed
from npu_conformance.measure.results import Result
from npu_conformance.measure.statistics import Tested, holm, settled

_CHECK = "regression"
_GROWTH = "error_growth"


@check(
    chinese="与基线相比，引擎的误差没有增大，其 token 与参考不同的频率也没有增加。",
    requires=("full_logits",),
    metrics=(_GROWTH, "flips_growth", "baseline_kl", "baseline_tokens"),
)
def regression(evidence: Evidence) -> list[Result]:
    """Since its baseline the engine's error did not grow, and its tokens are no more often not the reference's."""
    if evidence.variant != "base":
        return [not_applicable(evidence, _CHECK, "a baseline is of base")]
    if evidence.replacing and (why := _incomparable(evidence)):
        return [not_applicable(evidence, _CHECK, f"the baseline is to be replaced: {why}")]
    if evidence.outdated is not None:
        return [
            Result(check=_CHECK, variant="base", metric=_CHECK, path="none", verdict="error", message=evidence.outdated)
        ]
    if (found := evidence.since) is None:
        why = "the run was held against no baseline: --baseline=create makes one, of a run that passes"
        return [not_applicable(evidence, _CHECK, why)]
    checks = _judge(evidence, found)
    return [_replacing(check) for check in checks] if evidence.replacing else checks


def _incomparable(evidence: Evidence) -> str | None:
    """Why the baseline says nothing of this run."""
    try:
        return evidence.outdated or (None if evidence.since else "nothing in common")
    except TraceError as error:
        return str(error)


def _judge(evidence: Evidence, found: BaselineDiff) -> list[Result]:
    shown = [_distance(evidence, found), _tokens(evidence, found)]
    pair = RunPair(found.prompts, {"decode": (found.before, found.now)}, tuple(np.diff(found.bounds).tolist()))
    if not (tests := grown(pair)):
        why = f"{len(found.prompts)} prompts: at least {PROMPTS} are needed"
        return [not_applicable(evidence, _CHECK, why, _GROWTH), *shown]
    error, more = tests["decode"], tests["flips"]
    adjusted = holm([error.p_value, more.p_value])
    growth = _growth(evidence, found, error, adjusted[0], _more(found, pair, "decode"))
    return [growth, _flips(evidence, found, more, adjusted[1], _more(found, pair, "flips")), *shown]


def _more(found: BaselineDiff, pair: RunPair, name: Test) -> str:
    """How many of the baseline's prompts would tell; nothing where it has not so many."""
    asked, there = len(found.prompts), len(found.prompts) + len(found.missing)
    needed = prompts_needed(pair, name)
    if needed is None or needed > there:
        return ""
    return f": use --prompts {min(there, enough(asked, needed / asked))}"


def _growth(evidence: Evidence, found: BaselineDiff, tested: Tested, p_adjusted: float, remedy: str) -> Result:
    observed, interval, p_value = tested
    ends = None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1])))
    check = _base(evidence, found, _GROWTH).model_copy(
        update={
            "observed": float(np.exp(observed)),
            "interval": ends,
            "limit": GROWTH,
            "relation": "<=",
            "p_value": p_value,
            "p_adjusted": p_adjusted,
            "where": _place(evidence, found, int((error_of(found.now) - error_of(found.before)).argmax())),
        }
    )
    # Written so that NaN fails.
    if not p_adjusted > evidence.false_alarms:
        return check.model_copy(update={"verdict": "fail", "message": _changes(evidence)})
    if not settled(tested, float(np.log(GROWTH))):
        why = f"{len(found.prompts)} prompts cannot tell whether the error grew by more than {GROWTH:g} times{remedy}"
        return check.model_copy(update={"verdict": "inconclusive", "message": why})
    return check


def _flips(evidence: Evidence, found: BaselineDiff, tested: Tested, p_adjusted: float, remedy: str) -> Result:
    new = found.now.flipped & ~found.before.flipped
    check = _base(evidence, found, "flips_growth").model_copy(
        update={
            "observed": tested.observed,
            "interval": tested.interval,
            "relation": "<=",
            "p_value": tested.p_value,
            "p_adjusted": p_adjusted,
            "where": _place(evidence, found, int(new.argmax())) if new.any() else None,
        }
    )
    if not p_adjusted > evidence.false_alarms:
        return check.model_copy(update={"verdict": "fail", "message": _changes(evidence)})
    if not settled(tested, FLIPS):
        why = f"{len(found.prompts)} prompts cannot tell whether flips are more frequent than they were{remedy}"
        return check.model_copy(update={"verdict": "inconclusive", "message": why})
    return check


def _replacing(check: Result) -> Result:
    """What is to be replaced is shown and decides nothing."""
    told = "the baseline is to be replaced"
    if check.verdict not in ("pass", "shown"):
        told = f"{told}; against the old baseline this run would be {check.verdict}: {check.message}"
    return check.model_copy(update={"verdict": "not_applicable", "message": told})


def _changes(evidence: Evidence) -> str | None:
    """What else is not as it was, in words."""
    if evidence.baseline is None:
        return None
    pairs = changed(made_by(evidence.baseline.candidate), made_by(evidence.candidate.provenance))
    told = [f"{name} {then} then, {now} now" for name, then, now in pairs]
    return (
        f"changed since: {'; '.join(told)}"
        if told
        else "engine, device, versions, options and variables are as they were"
    )


def _distance(evidence: Evidence, found: BaselineDiff) -> Result:
    return _base(evidence, found, "baseline_kl").model_copy(
        update={
            "observed": float(found.kl.mean()),
            "verdict": "shown",
            "where": _place(evidence, found, int(found.kl.argmax())),
        }
    )


def _tokens(evidence: Evidence, found: BaselineDiff) -> Result:
    then, now = found.tokens
    different = np.flatnonzero(then != now)
    return _base(evidence, found, "baseline_tokens").model_copy(
        update={
            "observed": float((then == now).mean()),
            "verdict": "shown",
            "where": _place(evidence, found, int(different[0])) if len(different) else None,
        }
    )


def _base(evidence: Evidence, found: BaselineDiff, metric: str) -> Result:
    """A check that passes, of the positions that can be compared."""
    n = found.bounds[-1]
    told = [] if not found.missing else [f"{len(found.missing)} of the baseline's prompts were not asked"]
    if n != found.positions:
        told.append(f"{n} of the baseline's {found.positions} positions had seen the same tokens")
    return Result(
        check=_CHECK, variant=evidence.variant, metric=metric, n=n, verdict="pass", message="; ".join(told) or None
    )


def _place(evidence: Evidence, found: BaselineDiff, at: int) -> str:
    prompt = int(np.searchsorted(found.bounds, at, side="right")) - 1
    then, now = (evidence.reference.piece(int(tokens[at])) for tokens in found.tokens)
    errors = np.exp([found.before.row[at], found.now.row[at]])
    return (
        f"{found.prompts[prompt]}, position {at - found.bounds[prompt]}: {then} in the baseline, {now} now; relative "
        f"error {errors[0]:.3g} and {errors[1]:.3g}"
    )
