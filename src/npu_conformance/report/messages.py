"""How a failed check, or an error, is put to a person: property, observed, allowed, where, how to reproduce."""

import re
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.errors import CheckpointError, ConformanceError, JobError, PlanError, printable
from npu_conformance.measure.results import Result
from npu_conformance.report.words import title

_WIDTH = 100


def failure_text(property_: str, failed: Sequence[Result], reproduce: str) -> str:
    """The message of a failing test.

    Args:
        property_: what must hold, in one sentence.
        failed: the checks that did not.
        reproduce: the command that shows it again.
    """
    lines = [f"does not hold: {property_.strip().splitlines()[0]}"]
    for check in failed:
        lines += [
            f"  {title('en', check)} ({check.metric})",
            f"    observed  {observed(check)}",
            f"    allowed   {allowed(check)}",
        ]
        lines += [*_wrapped("where", check.where), *_wrapped("note", check.message)]
    return printable("\n".join([*lines, f"  reproduce   {reproduce}"]))


def _wrapped(label: str, text: str | None) -> list[str]:
    """A labelled paragraph of lines that fit a terminal, broken between words."""
    start = f"    {label}".ljust(14)
    return textwrap.wrap(
        text or "",
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def typed(argv: Sequence[str]) -> str:
    """A command line as it can be typed again: `python -m pytest` is a path to a file once it runs."""
    program, *words = argv
    path = Path(program)
    command = ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    return printable(shlex.join([*command, *words]))


class ToldErrors:
    """The errors of a run: each is told once, and after that in a word."""

    def __init__(self) -> None:
        self._causes: list[ConformanceError] = []
        self._starts: set[str] = set()

    def once(self, model: str, error: ConformanceError) -> str:
        """An error's message, or a word where it was told before.

        Engines of a model that do not start for one reason have one message, though each was tried.
        """
        cause = error.__cause__ if isinstance(error.__cause__, ConformanceError) else error
        start = f"{model}: {_reason(cause)}" if _kept_from_starting(cause) else None
        if start is None:
            known = any(cause is one for one in self._causes)
            self._causes += [] if known else [cause]
            return "not run: for the reason that the first of these errors gives" if known else str(error)
        known = start in self._starts
        self._starts.add(start)
        return "not run: the engine did not start" if known else str(error)


def _kept_from_starting(error: ConformanceError) -> bool:
    return error.starting if isinstance(error, JobError) else isinstance(error, CheckpointError | PlanError)


def _reason(error: ConformanceError) -> str:
    """What an error says first, without what differs from one try to the next: its name, figures and paths."""
    name_and_reason = str(error).splitlines()[0].split(": ", 1)
    return re.sub(r"\S*/\S*|\d+", "#", name_and_reason[-1])


def observed(check: Result) -> str:
    """The measured value with its sample and interval."""
    if check.observed is None:
        return "nothing"
    interval = (
        "" if check.interval is None else f", 95 % interval {number(check.interval[0])} to {number(check.interval[1])}"
    )
    return f"{number(check.observed)} (n = {check.n}{interval})"


def allowed(check: Result) -> str:
    """The limit with its relation."""
    return "any value (shown only)" if check.limit is None else f"{check.relation} {number(check.limit)}"


def number(value: float) -> str:
    """Six significant digits, without padding; enough to tell 0.999911 from 1."""
    return f"{value:.6g}"
