"""The table of steps that graded cards have: the log-probability of each token in several runs of one prompt."""

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.pages.tokens import visible
from npu_conformance.report.sections.blocks import Cell, Table
from npu_conformance.report.sections.view import View, number

_PROMPTS, _STEPS = 5, 8
_OTHERS = ("fresh_engine", "as_served")
"""Variants that change nothing that a token may depend on, the nearest to base first."""


def step_table(view: View) -> tuple[Table | None, str]:
    """The first steps of the first prompts in up to three runs, and what these are; None where none was kept.

    The second run of base is not kept by step: where each of its rows was bitwise the first's, so was each probability.
    """
    base = view.base
    if base is None or not base.log_probs:
        return None, ""
    runs = [("base", base), *([("base 再次运行（逐行比特级一致）", base)] if _repeated(view) else [])]
    runs += [(one.variant, one) for name in _OTHERS for one in view.model.variants if _beside(base, one, name)][:1]
    columns = ("提示词", "步骤", "令牌", *(f"运行{place + 1}对数概率" for place in range(len(runs))), "匹配")
    rows, start = [], 0
    for prompt in base.prompts[:_PROMPTS]:
        for step in range(min(prompt.tokens, _STEPS)):
            at = start + step
            same = len({one.tokens[at] for _, one in runs}) == 1
            shown = (number(f"{one.log_probs[at]:.6f}") for _, one in runs)
            mark = Cell("", "pass" if same else "fail")
            rows.append((Cell(prompt.text), number(str(step + 1)), Cell(_piece(base, at)), *shown, mark))
        start += prompt.tokens
    told = "；".join(f"运行{place + 1}：{name}" for place, (name, _) in enumerate(runs))
    return Table("", columns, tuple(rows)), f"{told}。对数概率为自然对数，取所选令牌在完整词表上的值。"


def _repeated(view: View) -> bool:
    """Whether a second run of base gave the same rows, to the bit."""
    found = view.find("repeated_rows", path="none") or view.find("repeated_rows")
    return found is not None and found.observed == found.n


def _beside(base: VariantDetails, one: VariantDetails, name: str) -> bool:
    """Whether a variant has the same prompts with as many positions, so that steps stand beside each other."""
    lengths = [[(row.prompt, row.tokens) for row in each.prompts] for each in (base, one)]
    return one.variant == name and bool(one.log_probs) and lengths[0] == lengths[1] and one.no_effect is None


def _piece(base: VariantDetails, at: int) -> str:
    """A token's text; its number where none was kept."""
    token = base.tokens[at]
    text = "" if base.token_rows is None else base.token_rows.pieces.get(token, "")
    return f"{visible(text)} (#{token})" if text else f"#{token}"
