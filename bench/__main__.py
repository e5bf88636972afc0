"""Run every part, each in a process of its own, print the table and write `reports/bench.json`."""

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import baseline_only, capture, collection, metrics, reference, reports
from bench.timing import ROUNDS, Row
from npu_conformance.machine.provenance import machine, package_versions
from npu_conformance.machine.storage import write_json

_PARTS = (
    reference.measure,
    capture.measure,
    collection.measure,
    metrics.measure,
    reports.measure,
    baseline_only.measure,
)
_OUTPUT = Path(__file__).resolve().parents[1] / "reports" / "bench.json"
# Of generating without: what our capture may cost.
_MOST_CAPTURE = 1.10
# An engine's threads wait for the slowest of them: one that shares its processor can make a step ten times as long.
_BUSY = 0.1


def main() -> None:
    """Measure, show, save."""
    started = time.monotonic()
    rows = [row for part in _PARTS for row in _in_process(part)]
    goals = _goals(rows)
    write_json(
        _OUTPUT,
        {
            "machine": machine(),
            "versions": package_versions(),
            "rounds": ROUNDS,
            "seconds": round(time.monotonic() - started),
            "goals": goals,
            "rows": [asdict(row) for row in rows],
        },
    )
    # A log has no width to fit into.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_table(rows))
    for goal, outcome in goals.items():
        console.print(f"{outcome}: {goal}", highlight=False)
    console.print(f"{time.monotonic() - started:.0f} s; {_OUTPUT}", highlight=False)


def _in_process(part: Callable[[], list[Row]]) -> list[Row]:
    """A part's rows; with its process go its gigabytes, threads and environment."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part).result()


def _goals(rows: list[Row]) -> dict[str, str]:
    """What the capture is to achieve, and whether it did."""
    captured = [row for row in rows if row.what == capture.WHAT]
    sizes = (capture.FULL_SIZE, capture.SMALL_SIZE)
    full, small = ({row.contender: row for row in captured if row.size == size} for size in sizes)
    rendered = next(row for row in rows if (row.what, row.contender) == (reports.WHAT, reports.RENDER))
    theirs = [row.added for name, row in small.items() if name not in (capture.NONE, capture.OURS)]
    return {
        f"our capture costs at most {_MOST_CAPTURE - 1:.0%}": _outcome(
            full[capture.OURS], full[capture.OURS].ratio <= _MOST_CAPTURE
        ),
        f"all reports of a run take at most {reports.MOST:.0f} s": _outcome(rendered, rendered.seconds <= reports.MOST),
        "our capture adds less time than any of vLLM's own ways": _outcome(
            small[capture.OURS], small[capture.OURS].added < min(theirs)
        ),
    }


def _outcome(row: Row, met: bool) -> str:
    if row.others > _BUSY:
        return f"not judged, other processes took {row.others:.0%} of the processors"
    return "met" if met else "MISSED"


def _table(rows: list[Row]) -> Table:
    table = Table(
        title=f"median of {ROUNDS} rounds",
        caption="ratio: within a round, to the contender without a range; others: processors' time taken by others",
    )
    for heading in ("what", "size", "contender"):
        table.add_column(heading)
    for heading in ("others", "seconds", "added", "ratio", "range"):
        table.add_column(heading, justify="right")
    table.add_column("note")
    shown = ("", "")
    for row in rows:
        group = (row.what, row.size)
        if group != shown and shown[0]:
            table.add_section()
        table.add_row(
            *(group if group != shown else ("", "")),
            row.contender,
            f"{row.others:.0%}" if group != shown else "",
            f"{row.seconds:.3f}",
            "" if row.contender == row.of else f"{row.added:+.3f}",
            f"{row.ratio:.2f}",
            "" if row.contender == row.of else f"{row.ratio_min:.2f} to {row.ratio_max:.2f}",
            row.note,
        )
        shown = group
    return table


if __name__ == "__main__":
    main()
