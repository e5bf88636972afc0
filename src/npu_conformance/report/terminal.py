"""What a terminal shows of a run: a table a model, what failed by its cause, what stayed open, and where to read on."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from npu_conformance.errors import printable
from npu_conformance.measure.results import Result
from npu_conformance.report.causes import Cause, causes
from npu_conformance.report.messages import allowed, number
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.terminal_tables import table, table_lines
from npu_conformance.report.unsettled import Unsettled, unsettled
from npu_conformance.report.words import Language, file_name, title

WIDTH = 100
"""Characters of a line, at most; a narrower terminal has less."""
LINES = 46
"""Lines of a run that fit on one screen, less those that pytest prints itself."""
_LABEL = 14
_MESSAGE_LINES = 6
# Tried in this order until all fits: which equal rows are one, and how many causes and lines a cause are shown.
_LEVELS = (("none", 6, 4), ("quiet", 4, 3), ("all", 2, 1))
_NOT_RUN = "not run: "
# Of a message, what is said again as what to do.
_PROMPTS_HINT = re.compile(r": use --prompts \d+( or more)?$")
# Messages that say themselves what to do, or that no prompts would help.
_OTHER_HINTS = ("--prompts", "not confirmed", "add prompts", "more prompts", "floor runs flip")
_MOST_NAMES = 3

Line = tuple[str, str]
"""Text and style."""


def summary_lines(report: Report, folder: Path, width: int = WIDTH, language: Language = "en") -> list[Line]:
    """The whole summary, on as many lines as fit on a screen where that can be done.

    Args:
        report: what was judged.
        folder: the run's.
        width: characters of a line.
        language: of the page that is named.
    """
    lines: list[Line] = []
    for join, most, deep in _LEVELS:
        lines = _models(report, width, join, most, deep) + _end(report, folder / file_name("index", "html", language))
        if len(lines) <= LINES:
            break
    return lines


def skipped_lines(skipped: dict[str, list[Result]], width: int = WIDTH) -> list[Line]:
    """A paragraph a model of a run in which nothing was judged: why.

    Args:
        skipped: checks by model.
        width: characters of a line.
    """
    return [line for model, checks in sorted(skipped.items()) for line in _all_skipped(model, checks, width)]


def rendered(lines: Iterable[Line], *, colour: bool) -> list[str]:
    """Lines as a terminal takes them."""
    file = StringIO()
    console = Console(
        file=file, force_terminal=colour, color_system="standard" if colour else None, highlight=False, emoji=False
    )
    for text, style in lines:
        console.print(Text(printable(text), style=style if colour else ""), soft_wrap=True)
    return file.getvalue().splitlines()


def fits(lines: Sequence[Line], details: str, width: int = WIDTH) -> bool:
    """Whether details, such as the messages of failed tests, still fit on a screen beside the summary."""
    return len(lines) + sum(1 + len(line) // width for line in details.splitlines()) <= LINES


def _models(report: Report, width: int, join: str, most: int, deep: int) -> list[Line]:
    judged = [model for model in report.models if model.verdict not in ("skipped", "not_applicable")]
    tables = table_lines([table(model, join=join) for model in judged], width)
    lines: list[Line] = []
    for model, rows in zip(judged, tables, strict=True):
        lines += [*rows, *_said(model, width, most, deep)]
    for model in report.models:
        lines += [] if model in judged else _all_skipped(model.name, model.checks, width)
    return lines


def _said(model: ModelReport, width: int, most: int, deep: int) -> list[Line]:
    """What there is to say of a model besides its counts."""
    found, unclear = causes(model), unsettled(model)
    lines = [line for cause in found[:most] for line in _cause_lines(cause, width, deep)]
    if len(found) > most:
        lines += _wrapped("", f"{_count(len(found) - most, 'other group')} of failures: see the report", width)
    lines += _error_lines(model, width, deep)
    for one in unclear[:most]:
        lines += _wrapped("inconclusive", _unsettled_text(one), width, max(deep, 2), style="yellow")
    if len(unclear) > most:
        lines += _wrapped("", f"{_count(len(unclear) - most, 'other reason')}: see the report", width)
    if model.not_judged:
        lines += _wrapped("partial", f"{_count(len(model.not_judged), 'check')} not selected", width)
    return lines


def _cause_lines(cause: Cause, width: int, deep: int) -> list[Line]:
    lines = _wrapped("failed in", ", ".join(cause.variants), width, deep, style="red")
    if cause.changes:
        lines += _wrapped("changes", f"{cause.changes}; base passes", width, deep)
    if cause.layer:
        lines += _wrapped("first layer", f"{cause.layer} is the first bad one", width, deep)
    elif cause.layers_well:
        lines += _wrapped("first layer", "none: each attention and MLP is within its own floor", width, deep)
    if cause.points_at:
        lines += _wrapped("points at", cause.points_at, width, deep)
    for check in cause.first:
        lines += _wrapped("look first at", f"{check.check}: {_measured(check)}", width, deep)
        if where := _where(check):
            lines += _wrapped("where", where, width, deep)
    if cause.follows:
        lines += _wrapped("may follow", ", ".join(cause.follows), width, deep)
    return lines


def _measured(check: Result) -> str:
    """What was measured, what was found and what was expected."""
    if check.observed is None:
        return check.message or check.metric
    told = "" if check.limit is None else f", must be {allowed(check)}"
    return f"{title('en', check)} is {number(check.observed)}{told}"


def _where(check: Result) -> str | None:
    """The worst place; both tokens, without their logits."""
    return check.where.split("; logits of the two")[0] if check.where else None


def _error_lines(model: ModelReport, width: int, deep: int) -> list[Line]:
    """Each error once, then how many checks were not run for it."""
    messages = [check.message or "" for check in model.checks if check.verdict == "error"]
    told = [message for message in dict.fromkeys(messages) if not message.startswith(_NOT_RUN)]
    again = sum(message.startswith(_NOT_RUN) or message in told for message in messages) - len(told)
    lines: list[Line] = []
    for message in told or list(dict.fromkeys(messages)):
        lines += _wrapped(
            "error", message, width, max(deep, 2) if deep < _LEVELS[0][2] else _MESSAGE_LINES, style="red"
        )
    if again > 0:
        lines += _wrapped("", f"{_count(again, 'other check')} could not run for this reason", width)
    return lines


def _unsettled_text(found: Unsettled) -> str:
    """Which checks stayed open, where, why, and what to do."""
    names = ", ".join(found.checks) if len(found.checks) <= _MOST_NAMES else _count(len(found.checks), "check")
    todo = f". To settle it: --prompts {found.prompts}"
    if found.prompts is None:
        todo = "" if any(hint in found.why for hint in _OTHER_HINTS) else ". No number of prompts is known to settle it"
    why = found.why if found.prompts is None else _PROMPTS_HINT.sub("", found.why)
    return f"{names} in {', '.join(found.variants)}: {why}{todo}"


def _all_skipped(model: str, checks: Sequence[Result], width: int) -> list[Line]:
    """A model of which nothing was judged: how many checks, and why; one line a reason."""
    reasons: dict[str, int] = {}
    for check in checks:
        reasons[check.message or "no reason was given"] = reasons.get(check.message or "no reason was given", 0) + 1
    lines: list[Line] = [(f"{model}: SKIPPED", "bold")]
    for reason, count in reasons.items():
        lines += _wrapped(_count(count, "check"), reason, width, _MESSAGE_LINES)
    return lines


def _end(report: Report, page: Path) -> list[Line]:
    lines: list[Line] = []
    if any(model.subject == "twin" for model in report.models):
        lines += [("A twin is a small stand-in: its result says nothing about the model itself.", "")]
    skipped = sum(check.verdict == "skipped" for model in report.models for check in model.checks)
    if skipped:
        lines += [(f"{_count(skipped, 'check')} skipped: -rs lists the reasons", "")]
    positions = {found.positions for model in report.models for found in model.variants if found.positions}
    spread = f"; {min(positions)} to {max(positions)} positions a variant" if len(positions) > 1 else ""
    spread = f"; {min(positions)} positions a variant" if len(positions) == 1 else spread
    lines += [(f"engines started: {report.run.engine_starts}{spread}", "")]
    traces = Path(report.run.judged_from or page.parent)
    failed = [_selecting(model) for model in report.models if model.verdict == "fail"]
    if failed and (traces / "traces").is_dir():
        again = ["python", "-m"] if report.run.command.startswith("python ") else []
        words = [*again, "pytest", "-v", f"--from={traces}", "-k", " or ".join(failed)]
        lines += [("each failed check in full:", ""), (f"  {shlex.join(words)}", "")]
    return [*lines, (f"report: {page}", "")]


def _selecting(model: ModelReport) -> str:
    """For `-k`: a model in the variants in which it failed, for traces of others may not have been made."""
    failed = dict.fromkeys(check.variant for check in model.checks if check.verdict == "fail")
    return f"({model.name} and ({' or '.join(failed)}))"


def _wrapped(label: str, text: str, width: int, most: int = _MESSAGE_LINES, style: str = "") -> list[Line]:
    """A labelled paragraph: wrapped between words, and ended at a word where it is longer than it may be."""
    label = f"  {label}".ljust(_LABEL + 2) if label else " " * (_LABEL + 2)
    room = max(width - len(label), 20)
    parts = [
        part
        for line in printable(text).splitlines() or [""]
        for part in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    if len(parts) > most:
        parts = [*parts[: most - 1], textwrap.shorten(f"{parts[most - 1]} {'x' * room}", room, placeholder=" …")]
    return [((label if place == 0 else " " * len(label)) + part, style) for place, part in enumerate(parts)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
