"""The calibrated gates: few, each against the noise floor, with one rate of false alarms among them.

A gate fails where its adjusted p-value is at or below the variant's share of the run's rate of false alarms; it passes
where its interval lies within the limit; else it is inconclusive, and says how many prompts would settle it.
"""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.undecided import above_the_limit, cannot_show, enough, shown
from npu_conformance.config.limits import SHOWN
from npu_conformance.measure.noise import LAYERS, PROMPTS, GateResult, NoAnswer
from npu_conformance.measure.results import Path, Result, Verdict

_QUESTIONS = {
    "error_over_floor": (
        "The candidate's error, in decode and in prefill, is no larger than what rounding alone costs the model.",
        "被测在 decode 和 prefill 中的误差不大于该模型仅由舍入产生的误差。",
    ),
    "sets_over_floor": (
        "The candidate's error in each prompt set is no larger than what rounding alone costs the model.",
        "被测在每个提示词集中的误差都不大于该模型仅由舍入产生的误差。",
    ),
    "peak_over_floor": (
        "The candidate's largest error of any one logit is no larger than what rounding alone costs the model.",
        "被测单个 logit 的最大误差不大于该模型仅由舍入产生的误差。",
    ),
    "signed_bias": (
        "The candidate's errors have no direction, as those of rounding have none.",
        "被测的误差没有方向性，如同舍入误差一样。",
    ),
    "excess_flips": (
        "The candidate chooses another token than the reference no more often than rounding alone explains.",
        "被测选择与参考不同 token 的次数不超出仅由舍入所能解释的次数。",
    ),
    "unlikely_flips": (
        "Rounding explains each single token that differs from the reference's.",
        "每一个与参考不同的 token 都能用舍入来解释。",
    ),
    "worst_positions": (
        "No single position is further from the reference than chance lets the worst of so many be.",
        "没有任何一个位置偏离参考的程度超出同样多位置中偶然出现的最差情况。",
    ),
    "worst_logits": (
        "No single logit is further from the reference than chance lets the worst of so many be.",
        "没有任何一个 logit 偏离参考的程度超出同样多 logit 中偶然出现的最差情况。",
    ),
    "worst_prompts": (
        "No single prompt is further from the reference than chance lets the worst of so many be.",
        "没有任何一条 prompt 偏离参考的程度超出同样多 prompt 中偶然出现的最差情况。",
    ),
    "drift": (
        "The candidate's error does not grow along its answers more than the noise floor's does.",
        "被测的误差随回答增长的幅度不大于噪声基底。",
    ),
}
"""What must hold, in English and in Chinese, by the test in `measure.noise` that asks it."""


# Of the floor's error. That of bfloat16 is about 0.5 %, and a hundred times as much is half of the logits themselves.
_BLIND = 100.0
# Gates whose limit is what floor runs scatter, in units of their error.
_SCALED = ("worst_positions", "worst_logits", "worst_prompts")


def _gate(name: str, english: str, chinese: str) -> None:
    """Register the gate of a test, whose one metric has its name."""

    def judge(evidence: Evidence) -> list[Result]:
        return gate_results(evidence, name)

    judge.__name__, judge.__doc__ = name, english
    check(chinese=chinese, requires=("topk", "floor"), metrics=(name,), calibrated=True)(judge)


for _name, (_english, _chinese) in _QUESTIONS.items():
    _gate(_name, _english, _chinese)


def gate_results(evidence: Evidence, check: str) -> list[Result]:
    """What a calibrated test found, a result a path."""
    found, adjusted = evidence.calibrated
    return [
        _too_few(evidence, check, path, one)
        if isinstance(one, NoAnswer)
        else _judge(evidence, check, path, one, adjusted[name, path])
        for (name, path), one in found.items()
        if name == check
    ]


def _too_few(evidence: Evidence, check: str, path: Path, no: NoAnswer) -> Result:
    """A test that says nothing: open where more prompts can be had; else the model has nothing for it."""
    result = not_applicable(evidence, check, no.why)
    if not no.of_prompts or evidence.long_texts:
        return result
    told = f"{no.why}: use --prompts {PROMPTS} or more"
    return result.model_copy(update={"path": path, "verdict": "inconclusive", "message": told})


def _judge(evidence: Evidence, check: str, path: Path, found: GateResult, p_adjusted: float) -> Result:
    observed, interval, p_value = found.tested
    verdict: Verdict = "pass"
    message = None
    # Written so that NaN fails.
    if not p_adjusted > evidence.false_alarms:
        verdict = "fail"
    elif interval is not None and not interval[1] <= found.allowed:
        verdict = "inconclusive"
        message = _undecided(evidence, check, found, interval)
    elif check in _SCALED and found.allowed > _BLIND:
        verdict = "shown"
        message = (
            f"Floor runs scatter so widely here that only what is {found.allowed:.0f} times their error would fail: "
            "that is nearly nothing, and so no pass"
        )
    return Result(
        check=check,
        variant=evidence.variant,
        path=path,
        metric=check,
        observed=observed,
        limit=found.allowed,
        relation="<=",
        n=found.n,
        interval=interval,
        p_value=p_value,
        p_adjusted=p_adjusted,
        verdict=verdict,
        where=None if found.worst is None or check == LAYERS else _place(evidence, path, found.worst),
        message=message,
    )


def _undecided(evidence: Evidence, check: str, found: GateResult, interval: tuple[float, float]) -> str:
    limit = shown(found.allowed, SHOWN[check].style)
    if interval[0] > found.allowed:
        # A failure must be rarer by chance than the rate of false alarms that a run has.
        return above_the_limit(found.n, limit)
    # Not each prompt counts: of drift those with long answers do.
    needed = found.prompts_needed and enough(len(evidence.prompts), found.prompts_needed / found.n)
    return cannot_show(evidence, found.n, "prompts", limit, needed)


def _place(evidence: Evidence, path: Path, position: int) -> str:
    pair = evidence.prefill if path == "prefill" else None
    return (pair or evidence.pair).place(position)
