"""A forecast in words: tables of what would be started, what would be skipped, and what it takes in all."""

from collections import Counter
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from npu_conformance.commands.console import plain_table
from npu_conformance.commands.plan.forecast import Forecast
from npu_conformance.commands.plan.step import Step
from npu_conformance.commands.plan.totals import shortages, totals
from npu_conformance.machine.capacity import GIB, free_disk, free_memory

_NOTE = [
    "Nothing was started. Seconds, memory and disk are estimates; what is in the cache is not made again.",
    '"as last time": of the newest report of this kind of run. Else tokens are a third of a prompt\'s bytes, and every',
    "answer is as long as it may be. Models come one after another.",
]


def forecast_lines(forecast: Forecast, cache: Path, reports: Path, width: int) -> list[str]:
    """The forecast as lines of plain text.

    Args:
        forecast: what a run would do.
        cache: folder of the cache; need not exist.
        reports: folder of reports; need not exist.
        width: characters that a row of a table may have.
    """
    parts = [_NOTE, *(_rendered(table, width) for table in _tables(forecast))] if forecast.steps else []
    if forecast.judged_again:
        count = _count(forecast.judged_again, "variant")
        parts.append([f"No engine, no reference: the saved traces of {count} would be judged again."])
    if forecast.skipped:
        parts.append(_rendered(_skipped(forecast), width))
    if forecast.broken:
        parts.append([f"would be in error: {line}" for line in forecast.broken])
    parts.append([_counts(forecast), *(_fit(forecast, cache, reports) if forecast.steps else [])])
    return [line for part in parts for line in (*part, "")][:-1]


def _rendered(table: Table, width: int) -> list[str]:
    file = StringIO()
    Console(file=file, width=width, color_system=None, highlight=False, emoji=False, markup=False).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def _tables(forecast: Forecast) -> list[Table]:
    """One for engines, one for the rest."""
    engines = _table("model", "variant", "changes", "starts", "process")
    together = Counter(step.process for step in forecast.of("engine"))
    first: dict[int, str] = {}
    for step in forecast.of("engine"):
        process = _process(step, first.setdefault(step.process, step.name), together[step.process])
        needed = f"needed by {', '.join(step.needed_by)}: " if step.needed_by else ""
        engines.add_row(step.model, step.name, needed + step.about, str(int(step.starts)), process, *_figures(step))
    others = _table("model", "step", "variant", "what")
    for kind in ("twin", "preparation", "conversion", "reference", "noise floor", "judging"):
        for step in forecast.of(kind):
            others.add_row(step.model, kind, step.name, step.about, *_figures(step))
    return [table for table in (engines, others) if table.row_count]


def _table(*columns: str) -> Table:
    table = plain_table(*columns)
    for name in ("seconds", "memory", "disk"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("basis", overflow="fold")
    return table


def _process(step: Step, first: str, together: int) -> str:
    if together == 1:
        return "own"
    return f"shared by {together}" if step.name == first else f"with {first}"


def _figures(step: Step) -> tuple[str, str, str, str]:
    return f"{step.take.seconds:.0f}", _size(step.take.memory), _size(step.take.disk), step.basis


def _skipped(forecast: Forecast) -> Table:
    table = plain_table("model", "variant", "skipped because")
    for one in forecast.skipped:
        table.add_row(one.model, one.variant, one.reason)
    return table


def _counts(forecast: Forecast) -> str:
    """What would be started, counted."""
    counted = [
        _count(sum(step.starts for step in forecast.of("engine")), "engine start"),
        _count(forecast.processes, "engine process", "engine processes"),
        _count(len(forecast.of("reference")), "reference pass", "reference passes"),
        _count(len(forecast.of("noise floor")), "noise floor"),
        _count(len(forecast.of("twin")), "twin") + " to build",
        f"{len(forecast.skipped)} skipped",
    ]
    return "in all: " + ", ".join(counted)


def _fit(forecast: Forecast, cache: Path, reports: Path) -> list[str]:
    """What the run takes, what there is, and what does not fit."""
    whole = totals(forecast, cache, reports)
    takes = (
        f"takes about {_duration(whole.seconds)}, {_size(whole.memory)} of memory at once, "
        f"{_size(whole.cache)} of disk in {cache}, {_size(whole.reports)} in {reports}"
    )
    free = (
        f"free here: {_size(free_memory())} of memory, {_size(free_disk(cache))} of disk for the cache, "
        f"{_size(free_disk(reports))} for reports"
    )
    problems = shortages(forecast, cache, reports)
    if not problems:
        return [takes, free, "fits here, by these estimates"]
    return [takes, free, "does not fit here, by these estimates:", *(f"  {line}" for line in problems)]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _size(size: float) -> str:
    return f"{size / 2**20:.0f} MiB" if size < GIB / 10 else f"{size / GIB:.1f} GiB"
