"""Why a number stayed open and what to do: sentences for the message of an inconclusive result."""

from math import ceil
from typing import Literal

from npu_conformance.checks.evidence import Evidence

Style = Literal["percent", "fixed", "scientific"]
# Other prompts have longer answers, or scatter more: of 12 an estimate was short by up to a fifth on the twins.
_MARGIN = 1.25


def shown(value: float, style: Style) -> str:
    """A number as tables show it: a rate in percent."""
    return f"{100 * value:.4g} %" if style == "percent" else f"{value:.6g}"


def cannot_show(evidence: Evidence, n: int, unit: str, limit: str, needed: int | None) -> str:
    """A sample too small to show that a limit is kept, and what to do.

    Args:
        evidence: of the model in a variant.
        n: size of the sample.
        unit: what it consists of, in the plural.
        limit: as tables show it.
        needed: prompts that would show it, at this spread; None where that is not known.
    """
    told = f"{n} {unit if n != 1 else unit.removesuffix('s')} cannot show {limit} with 95 % confidence"
    return f"{told}{_ask_more(evidence, needed)}"


def enough(prompts: int, times: float) -> int:
    """Prompts to ask for where a sample of so many should be so many times as large, with a margin."""
    return ceil(prompts * times * _MARGIN)


def _ask_more(evidence: Evidence, needed: int | None) -> str:
    if evidence.long_texts:
        return ". This variant has texts of its own: --prompts adds none"
    if needed is None:
        return ""
    there = evidence.prompts_there
    if there is not None and needed > there:
        return (
            f". About {needed} prompts are needed, and the sets with the reserve hold {there}: add prompts of your own "
            "to a set in model_configs/prompts"
        )
    return f": use --prompts {needed}"


def above_the_limit(prompts: int, limit: str) -> str:
    """A mean over prompts above its limit that is no failure; the limit as tables show it."""
    return f"Above the limit {limit}, but {prompts} prompts are too few to call it a failure. Use more prompts"
