"""Numbers and remarks of checks as reports show them, whatever the report's format."""

from typing import Literal

from npu_conformance.config.limits import FIGURES, SHOWN
from npu_conformance.measure.results import Result
from npu_conformance.report.findings import BatchRow, Distances
from npu_conformance.report.tokens import Rate
from npu_conformance.report.words import Language, phrase, word

# The figures a report publishes of a variant; the same of other comparisons stand among the other checks.
_PUBLISHED = ("token_agreement", "logits_closeness", "hidden_states")


def value(check: Result, of: Literal["observed", "floor", "limit"]) -> str:
    """A check's value, limit or what the floor has, in its figure's style; `—` for none."""
    found: float | None = getattr(check, of)
    if found is None:
        return "—"
    prefix = ("≥ " if check.relation == ">=" else "≤ ") if of == "limit" else ""
    return prefix + in_style(check, found)


def interval(check: Result) -> str:
    """A check's interval in its figure's style; `—` for none."""
    return "—" if check.interval is None else " – ".join(in_style(check, bound) for bound in check.interval)


def bounds(rate: Rate) -> str:
    """A rate's interval."""
    return " – ".join(map(percent, rate.interval))


def chance(p_value: float | None) -> str:
    """A p-value, no longer than it need be."""
    return "—" if p_value is None else f"{p_value:.2g}" if p_value < 0.995 else "1"


def in_style(check: Result, number: float) -> str:
    """A number in the style of a check's figure."""
    figure = SHOWN.get(check.metric)
    if figure is None:
        return f"{number:g}"
    if check.p_value is not None and figure.style == "fixed":
        return f"{number:.3f}"
    if figure.style == "percent":
        return percent(number)
    if figure.style == "scientific":
        return f"{number:.3g}"
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return "≈ 1" if text == "1" and number != 1 else text


def flips(found: Distances | BatchRow) -> str:
    """How many positions have another token, and how many more are tied."""
    return f"{found.flips}" + (f" (+ {found.ties})" if found.ties else "")


def remark(check: Result, language: Language = "en") -> str:
    """Where a check's worst place is, shortly if all is well, and what else there is to say."""
    where = check.where or ""
    if check.verdict in ("pass", "shown"):
        where = "" if check.relation == "<=" and check.observed == 0 else where.split(": ")[0]  # without the logits
    return word(language, "message_join").join(phrase(language, part) for part in (where, check.message) if part)


def besides(checks: list[Result]) -> list[Result]:
    """The checks that stand beside a variant's published figures: not the same figures again that nobody judged."""
    figures = in_order(checks)
    return [
        check
        for check in checks
        if check not in figures
        and check.p_value is None
        and check.verdict != "not_applicable"
        and not (check.verdict == "shown" and check.metric in FIGURES)
    ]


def without(checks: list[Result]) -> dict[str, str]:
    """Why properties were not applicable: their names by reason."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.verdict == "not_applicable":
            found.setdefault(check.message or "", []).append(check.check)
    return {reason: ", ".join(dict.fromkeys(names)) for reason, names in found.items()}


def percent(rate: float) -> str:
    """A share in percent, four digits; never `100 %` of what is not."""
    text = f"{100 * rate:.4g} %"
    return "≈ 100 %" if text == "100 %" and rate != 1 else text


def in_order(checks: list[Result]) -> list[Result]:
    """Those of them that are figures against the reference, in the order in which reports publish them."""
    shown = [check for check in checks if check.check in _PUBLISHED and check.observed is not None]
    by_name = {check.metric: check for check in shown if check.metric in FIGURES}
    return [by_name[name] for name in FIGURES if name in by_name]
