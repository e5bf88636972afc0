"""What tests judged, gathered from this process or from pytest-xdist's workers: the report, and the terminal's end."""

import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from npu_conformance.config.model import config_names
from npu_conformance.errors import ConformanceError
from npu_conformance.measure.results import Result
from npu_conformance.report.ci import annotations, figure_properties, on_github
from npu_conformance.report.messages import typed
from npu_conformance.report.model import build_report, describe_run
from npu_conformance.report.pytest_output import ModelsDone, Screen, in_ci, status_of
from npu_conformance.report.selection import Identity, nothing_selected
from npu_conformance.report.terminal import Line, fits, rendered, skipped_lines, summary_lines
from npu_conformance.report.words import CHOICES
from npu_conformance.report.write import write_report
from npu_conformance.run.keep import keep_baselines
from npu_conformance.run.options import baselines_folder
from npu_conformance.run.rows import drop_judged, removed_line
from npu_conformance.run.session import Session

FOUND = "conformance_results"
"""Property of a test's result that holds what it judged."""
IDENTITY = "conformance_identity"
"""The one that says of which model, variant and check it is."""
UNSELECTED = "conformance_unselected"
"""What a worker of pytest-xdist says of the tests that `-k` left out, where it left none."""
# Of a conformance test's id, wherever the suite is installed: property, model, variant.
_ID = re.compile(r"(?:^|/)conformance/test_checks\.py::test_(\w+)\[(.+)-([^-]+)\]$")


def identity_of(session: Session, nodeid: str) -> Identity | None:
    """Model, variant and property of a conformance test, by its id alone; None for any other, however it is called."""
    match = _ID.search(nodeid)
    if match is None or match[2] not in config_names(session.settings.configs):
        return None
    return match[2], match[3], match[1]


class Results:
    """Gathers results, writes the report, and says on the terminal what is in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checks: dict[str, list[Result]] = defaultdict(list)
        self._lines: list[Line] = []
        self._annotations: list[str] = []
        self._unselected: list[Identity] = []
        self._judged = 0
        self._tests = 0
        self._done: ModelsDone | None = None
        self._screen: Screen | None = None

    def expect(self, config: pytest.Config, tests: Sequence[Identity], *, alone: bool) -> None:
        """Be told which of the suite's tests will run.

        Args:
            config: pytest's.
            tests: the suite's own.
            alone: whether there are no others.
        """
        counts = Counter((model, variant) for model, variant, _ in tests)
        runnable = {one: count for one, count in counts.items() if self._session.why_not(*one) is None}
        self._tests, self._done = sum(runnable.values()), ModelsDone(runnable, time.monotonic)
        if tests and alone and (screen := self._on(config)) is not None:
            screen.hide_files()

    def left_out(self, tests: Iterable[Identity]) -> None:
        """Be told what `-k` was to choose from, where it chose nothing."""
        self._unselected = [(model, variant, check) for model, variant, check in tests]

    def clear(self) -> None:
        """Give the terminal's last line to somebody else."""
        if self._screen is not None:
            self._screen.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any, config: pytest.Config) -> tuple[str, str, str] | None:
        """Count the suite's tests without a letter each."""
        return status_of(report, config) if _is_ours(report) else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: take what a worker says of a selection that chose nothing."""
        self.left_out(getattr(node, "workeroutput", {}).get(UNSELECTED, self._unselected))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the checks out of a test's result; a test without any counts as an error or as skipped."""
        properties: dict[str, Any] = dict(report.user_properties)
        # What pytest-xdist says of a test whose worker died has no properties.
        identity = properties.get(IDENTITY) or (identity_of(self._session, report.nodeid) if report.failed else None)
        if identity is None:
            return
        model, variant, check = identity
        judged = properties.get(FOUND)
        if report.when == "call" and judged:
            self._checks[model] += map(Result.model_validate, judged)
        elif report.failed:
            self._add(model, variant, check, "error", _reason(report))
        elif report.skipped and report.when == "setup":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            self._add(model, variant, check, "skipped", reason.removeprefix("Skipped: "))
        if report.when == "teardown":
            # Of it JUnit's XML is made, after this.
            kept = [(name, value) for name, value in report.user_properties if name != FOUND]
            report.user_properties = [*kept, *figure_properties(map(Result.model_validate, judged or ()))]
            self._count(model, variant)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report of what was judged."""
        own, config = self._session, session.config
        judged = (check for checks in self._checks.values() for check in checks if check.verdict != "skipped")
        width = {} if (screen := self._on(config)) is None else {"width": screen.width}
        if not any(judged):  # nothing ran: the last report stays the latest
            self._lines = skipped_lines(self._checks, **width)
            return
        report = build_report(
            own.folder,
            self._checks,
            {model: own.kind(model) for model in self._checks},
            describe_run(typed(sys.argv), config.rootpath, own.settings.from_dir),
            baselines_folder(config),
        )
        write_report(report, own.folder, CHOICES[config.getoption("report_lang")])
        kept = list(keep_baselines(own, report))
        removed = drop_judged(own.folder, report) if own.settings.drops_rows else 0
        said = [*(one.line for one in kept), *([removed_line(removed)] if removed else [])]
        self._lines = [
            *summary_lines(report, own.folder, language=CHOICES[config.getoption("report_lang")][0], **width),
            *((line, "") for line in said),
        ]
        self._annotations = annotations(report) if on_github() else []
        if not all(one.written for one in kept) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def begin(self, screen: Screen) -> None:
        """Hide the messages of tests that pytest would print now: of errors always, of failures where too long."""
        screen.clear()
        if screen.in_full:
            return
        short = fits(self._lines, screen.details(), screen.width)
        screen.hide(("error",) if short else ("error", "failed"))

    def screen(self, reporter: pytest.TerminalReporter) -> Screen:
        """The terminal."""
        self._screen = self._screen or Screen(reporter, _is_ours)
        return self._screen

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Say each model's verdict, what failed and where the report is; then hide what pytest would list once more."""
        screen = self.screen(terminalreporter)
        if lines := self._told(terminalreporter, exitstatus):
            terminalreporter.section("conformance")
            for line in rendered(lines, colour=screen.colour):
                terminalreporter.line(line)
        for line in self._annotations:
            terminalreporter.line(line)
        if screen.lists_failures:
            screen.show()
        else:
            screen.hide(("error", "failed"))

    def _told(self, reporter: pytest.TerminalReporter, exitstatus: int) -> list[Line]:
        expression = reporter.config.option.keyword
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and expression and self._unselected:
            width, broken = self.screen(reporter).width, self._broken()
            return [(line, "") for line in nothing_selected(expression, self._unselected, width, broken)]
        return self._lines

    def _broken(self) -> dict[str, str]:
        """Why a model's config cannot be used, by model."""
        found: dict[str, str] = {}
        for model in dict.fromkeys(model for model, _, _ in self._unselected):
            try:
                self._session.config(model)
            except ConformanceError as error:
                found[model] = str(error)
        return found

    def _count(self, model: str, variant: str) -> None:
        """Show how far the run is."""
        line = None if self._done is None else self._done.one(model, variant)
        screen = self._screen
        if screen is None or self._done is None or self._session.why_not(model, variant) is not None:
            return
        self._judged += 1
        if line is not None:
            screen.say(line)
        elif not in_ci():
            screen.count(f"{model} {variant}: judged {self._judged} of {self._tests} tests")

    def _on(self, config: pytest.Config) -> Screen | None:
        reporter = config.pluginmanager.getplugin("terminalreporter")
        return None if reporter is None else self.screen(reporter)

    def _add(self, model: str, variant: str, check: str, verdict: Any, message: str) -> None:
        self._checks[model].append(
            Result(check=check, variant=variant, metric=check, verdict=verdict, message=message, path="none")
        )


class Frame:
    """Stands around all of pytest's summary: what is hidden in it is there again when tests are counted."""

    def __init__(self, results: Results) -> None:
        self._results = results

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        """Hide, let pytest and `Results` print, and show."""
        screen = self._results.screen(terminalreporter)
        self._results.begin(screen)
        yield
        screen.show()


def _reason(report: pytest.TestReport) -> str:
    """Why a test found nothing; of an exception that nobody expected, what it was and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(report.longrepr) if crash is None else f"{crash.message} ({crash.path}:{crash.lineno})"


def _is_ours(report: object) -> bool:
    return any(name == IDENTITY for name, _ in getattr(report, "user_properties", ()))
