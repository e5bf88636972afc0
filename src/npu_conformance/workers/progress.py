"""What a person sees of a running job: a bar on a terminal, a line now and then in a log, nothing under CI."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Observe = Callable[[str, int, int], None]

# A log's first line of a job comes after so many seconds, the next after twice as many, and so on.
_FIRST_LINE = 30.0
# A job that took less leaves no line.
_WORTH_A_LINE = 10.0


class Narrator:
    """Prints to the terminal's standard error, past pytest's capture."""

    def __init__(
        self,
        uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext,
        *,
        bars: bool = True,
        quiet: bool = False,
    ) -> None:
        """Make one.

        Args:
            uncaptured: makes a context in which standard error reaches the terminal.
            bars: whether it may draw; not where others write to the same terminal.
            quiet: leave jobs out, as for a CI.
        """
        self._uncaptured = uncaptured
        self._bars = bars
        self._quiet = quiet
        # Twins are trained side by side, a thread each; pytest's capture is one.
        self._one_at_a_time = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line."""
        with self._one_at_a_time, self._uncaptured():
            _console().print(escape(text), style="dim", highlight=False, soft_wrap=True)

    @contextmanager
    def job(self, name: str) -> Iterator[Observe]:
        """Show a job while it runs; yields where its progress is to be reported."""
        if self._quiet:
            yield lambda *_: None
        elif self._bars and _console().is_terminal:
            with self._uncaptured(), _bar(_console()) as bar:
                yield _on_a_bar(bar, name)
        else:
            started = time.monotonic()
            yield _in_a_log(self.say, name)
            if (seconds := time.monotonic() - started) >= _WORTH_A_LINE:
                self.say(f"{name}: {seconds:.0f} s")


class Stage:
    """What a job is at, and when that will be done at this speed."""

    def __init__(self) -> None:
        self._phase = ""
        self._began = self._from = 0.0

    def left(self, phase: str, done: int, total: int) -> float | None:
        """Seconds to the end of the stage; None where that is not known yet."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._from = phase, now, done
        if not total or done <= self._from or done > total:
            return None
        return (now - self._began) / (done - self._from) * (total - done)


def _on_a_bar(bar: Progress, name: str) -> Observe:
    task, stage = bar.add_task(escape(name), total=None, phase="starting", left=""), Stage()

    def observe(phase: str, done: int, total: int) -> None:
        left = stage.left(phase, done, total)
        told = "" if left is None else f"{left:.0f} s left"
        bar.update(task, phase=phase, completed=done, total=total or None, left=told)

    return observe


def _in_a_log(say: Callable[[str], None], name: str) -> Observe:
    started, wait, stage = time.monotonic(), _FIRST_LINE, Stage()

    def observe(phase: str, done: int, total: int) -> None:
        nonlocal wait
        left = stage.left(phase, done, total)
        if time.monotonic() - started < wait:
            return
        while time.monotonic() - started >= wait:
            wait *= 2
        position = f", {done} of {total}" if total else ""
        ahead = "" if left is None else f", about {left:.0f} s left"
        say(f"{name}: {phase}{position}{ahead}")

    return observe


def _console() -> Console:
    return Console(stderr=True)


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("[dim]{task.fields[phase]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[left]}"),
        console=console,
        transient=True,
    )
