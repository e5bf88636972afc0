"""What pytest's own reporter shows of the suite's tests: they are counted, and their summary says the rest.

A run has hundreds of them. A letter a test, a message a failure and a line in the short summary would hide the summary.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import pytest

from npu_conformance.report.terminal import WIDTH

_USUAL = "fE"


class Screen:
    """pytest's terminal reporter, told what to leave out."""

    def __init__(self, reporter: pytest.TerminalReporter, is_ours: Callable[[object], bool]) -> None:
        """Args: reporter: pytest's; is_ours: whether a report is of one of the suite's tests."""
        self._reporter = reporter
        self._is_ours = is_ours
        self._aside: dict[str, list[object]] = {}
        self._counting = False

    @property
    def width(self) -> int:
        """Characters of a line; a log has no width of its own."""
        return min(self._reporter._tw.fullwidth, WIDTH) if self._reporter.isatty else WIDTH

    @property
    def colour(self) -> bool:
        """Whether it may be coloured."""
        return bool(self._reporter.hasmarkup)

    def hide_files(self) -> None:
        """Begin no line a file of tests, and end none with a share of them."""
        if self._reporter.verbosity <= 0:
            self._reporter.showfspath = False
            self._reporter._show_progress_info = False

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.clear()
        self._reporter.write_line(line)

    def count(self, text: str) -> None:
        """Show, on a terminal that nobody else writes to, a line that the next one replaces."""
        quiet = self._reporter.verbosity > 0 or getattr(self._reporter.config.option, "numprocesses", None)
        if self._reporter.isatty and not quiet:
            self._reporter.rewrite(text[: self.width - 1], erase=True)
            self._counting = True

    def clear(self) -> None:
        """Take the line away that the next one would replace."""
        if self._counting:
            self._reporter.rewrite("", erase=True)
            self._reporter.write("\r")
            self._counting = False

    def details(self) -> str:
        """The messages of the tests that failed, as pytest would print them."""
        return "\n".join(report.longreprtext for report in self._ours("failed"))

    def hide(self, outcomes: Iterable[str]) -> None:
        """Take the suite's tests with these outcomes out of what pytest shows, for `show` to put back."""
        for outcome in outcomes:
            kept = self._reporter.stats.get(outcome, [])
            self._aside.setdefault(outcome, list(kept))
            self._reporter.stats[outcome] = [report for report in kept if not self._is_ours(report)]

    def show(self) -> None:
        """Put back what was taken out."""
        for outcome, reports in self._aside.items():
            if reports:
                self._reporter.stats[outcome] = reports
            else:
                self._reporter.stats.pop(outcome, None)
        self._aside.clear()

    @property
    def lists_failures(self) -> bool:
        """Whether `-r` was given: then every test it asks for is listed."""
        chosen: str = self._reporter.config.option.reportchars
        return chosen != _USUAL

    @property
    def in_full(self) -> bool:
        """Whether `-v` was given: then every failure is shown in full."""
        return self._reporter.verbosity > 0

    def _ours(self, outcome: str) -> list[pytest.TestReport]:
        return [report for report in self._reporter.stats.get(outcome, []) if self._is_ours(report)]


def status_of(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """How one of the suite's tests is counted, without a letter on the screen; None for pytest's own way."""
    if config.option.verbose > 0 or (report.when != "call" and report.passed):
        return None
    outcome = "error" if report.failed and report.when != "call" else report.outcome
    return outcome, "", outcome.upper()


def in_ci() -> bool:
    """Whether a CI system keeps what is printed."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


class ModelsDone:
    """A line whenever all tests of a model are done."""

    def __init__(self, tests: Mapping[tuple[str, str], int], now: Callable[[], float]) -> None:
        """Args: tests: how many there are, by model and variant, of those that can run; now: seconds."""
        self._open = Counter[str]()
        self._variants = set(tests)
        for (model, _), count in tests.items():
            self._open[model] += count
        self._total = len(self._open)
        self._now, self._started = now, now()

    def one(self, model: str, variant: str) -> str | None:
        """Count a test; what there is to say."""
        if (model, variant) not in self._variants:
            return None
        self._open[model] -= 1
        if self._open[model]:
            return None
        done = sum(not count for count in self._open.values())
        spent, left = self._now() - self._started, self._total - done
        ahead = f", about {in_words(spent / done * left)} left" if left else ""
        return f"{model}: judged ({done} of {self._total} models) after {in_words(spent)}{ahead}"


def in_words(seconds: float) -> str:
    """A time as people say it: seconds up to two minutes, then minutes, then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
