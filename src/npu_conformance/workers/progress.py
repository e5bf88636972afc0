"""What a person watching sees: one line a finished job, and a bar while one runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Observe = Callable[[str, int, int], None]


class Narrator:
    """Prints to the terminal's standard error, past pytest's capture."""

    def __init__(self, uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Args: uncaptured: makes a context in which standard error reaches the terminal."""
        self._uncaptured = uncaptured

    def say(self, text: str) -> None:
        """Print one line."""
        with self._uncaptured():
            _console().print(escape(text), style="dim", highlight=False, soft_wrap=True)

    @contextmanager
    def job(self, name: str) -> Iterator[Observe]:
        """Show a job while it runs; yields where its progress is to be reported."""
        started = time.monotonic()
        with self._uncaptured():
            console = _console()
            with _bar(console) as bar:
                task = bar.add_task(escape(name), total=None, phase="starting")

                def observe(phase: str, done: int, total: int) -> None:
                    bar.update(task, phase=phase, completed=done, total=total or None)

                yield observe
            console.print(
                f"{escape(name)}: {time.monotonic() - started:.1f} s",
                style="dim",
                highlight=False,
                soft_wrap=True,
            )


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
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
