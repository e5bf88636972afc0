"""What pytest's reporter is told to leave out, and that it comes back: tests are counted as they ended."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.report.pytest_output import Screen, in_ci, status_of


class Reporter:
    """As much of pytest's as is used."""

    def __init__(self, *, isatty: bool = False, verbosity: int = 0, chars: str = "fE", workers: int = 0) -> None:
        self.stats: dict[str, list[Any]] = {"failed": [report("ours"), report("other")], "error": [report("ours")]}
        self.isatty, self.hasmarkup, self.verbosity = isatty, isatty, verbosity
        self.config = SimpleNamespace(option=SimpleNamespace(reportchars=chars, numprocesses=workers))
        self._tw = SimpleNamespace(fullwidth=200 if isatty else 80)
        self.written: list[str] = []

    def rewrite(self, line: str, *, erase: bool) -> None:
        """Note what replaces the last line."""
        self.written.append(f"{line}{' erased' * erase}")

    def write(self, text: str) -> None:
        """Note it."""
        self.written.append(text)

    write_line = write


def report(name: str) -> Any:
    """Of a test."""
    return SimpleNamespace(name=name, longreprtext=f"message of {name}")


def screen_of(reporter: Reporter) -> Screen:
    """Over it."""
    return Screen(cast(pytest.TerminalReporter, reporter), lambda one: cast(Any, one).name == "ours")


def test_what_was_hidden_comes_back() -> None:
    """Only tests of the suite are hidden, however often; then all are there to be counted."""
    reporter = Reporter()
    screen, before = screen_of(reporter), {name: list(found) for name, found in reporter.stats.items()}
    assert screen.details() == "message of ours"
    screen.hide(("error",))
    screen.hide(("error", "failed"))

    assert [one.name for one in reporter.stats["failed"]] == ["other"]
    assert reporter.stats["error"] == []
    screen.show()
    assert {name: [one.name for one in found] for name, found in reporter.stats.items()} == {
        name: [one.name for one in found] for name, found in before.items()
    }


def test_nothing_is_added_to_what_pytest_counts() -> None:
    """Where no test failed there is no such entry afterwards: pytest would colour its last line by it."""
    reporter = Reporter()
    reporter.stats = {}
    screen = screen_of(reporter)
    screen.hide(("error", "failed"))
    screen.show()

    assert reporter.stats == {}


@pytest.mark.parametrize(("chars", "lists"), [("fE", False), ("s", True), ("fEsxX", True)])
def test_what_is_asked_for_by_r_is_listed(chars: str, lists: bool) -> None:
    """The usual `fE` was not asked for."""
    assert screen_of(Reporter(chars=chars)).lists_failures is lists


def test_a_line_that_counts_is_replaced_and_taken_away() -> None:
    """On a terminal of its own; a line that stays comes on a clean one."""
    reporter = Reporter(isatty=True)
    screen = screen_of(reporter)
    screen.clear()
    screen.count("judged 1 of 9")
    screen.say("One: judged")

    assert reporter.written == ["judged 1 of 9 erased", " erased", "\r", "One: judged"]


@pytest.mark.parametrize("reporter", [Reporter(), Reporter(isatty=True, workers=2), Reporter(isatty=True, verbosity=1)])
def test_nothing_counts_in_a_log_or_beside_others(reporter: Reporter) -> None:
    """Lines of pytest-xdist's workers, or of -v, would stand in it."""
    screen_of(reporter).count("judged 1 of 9")

    assert reporter.written == []


def test_lines_are_100_wide_at_most() -> None:
    """Though the terminal is wider; a log has no width."""
    assert [screen_of(Reporter(isatty=tty)).width for tty in (True, False)] == [100, 100]


@pytest.mark.parametrize(
    ("when", "outcome", "status"),
    [
        ("call", "passed", ("passed", "", "PASSED")),
        ("call", "failed", ("failed", "", "FAILED")),
        ("setup", "failed", ("error", "", "ERROR")),
        ("setup", "skipped", ("skipped", "", "SKIPPED")),
        ("setup", "passed", None),
        ("teardown", "passed", None),
    ],
)
def test_a_test_is_counted_once_and_shows_no_letter(when: str, outcome: str, status: object) -> None:
    """With the word that -rs begins its lines with; with -v as pytest does it."""
    one: Any = SimpleNamespace(when=when, outcome=outcome, passed=outcome == "passed", failed=outcome == "failed")

    for verbose, expected in ((0, status), (1, None)):
        config: Any = SimpleNamespace(option=SimpleNamespace(verbose=verbose))
        assert status_of(one, config) == expected


@pytest.mark.parametrize(("value", "ci"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_ci_is_told_by_its_variable(value: str, ci: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As GitHub and GitLab set it."""
    monkeypatch.setenv("CI", value)
    assert in_ci() is ci
