"""Run every part, each in a process of its own, print the table and write `reports/bench.json`."""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import capture, collection, metrics, reference
from bench.timing import ROUNDS, Row
from npu_conformance.provenance import machine, package_versions
from npu_conformance.storage import write_json

_PARTS = (reference.measure, capture.measure, collection.measure, metrics.measure)
_OUTPUT = Path(__file__).resolve().parents[1] / "reports" / "bench.json"
# Of generating without: what our capture may cost.
_MOST_CAPTURE = 1.10


def main() -> None:
    """Measure, show, save."""
    started = time.monotonic()
    # Engines wait for their slowest thread: on a busy machine even ratios mean little, so say how busy it was.
    load = os.getloadavg()[0]
    rows = [row for part in _PARTS for row in _in_process(part)]
    goals = _goals(rows)
    write_json(
        _OUTPUT,
        {
            "machine": machine() | {"load_at_start": f"{load:.2f}"},
            "versions": package_versions(),
            "rounds": ROUNDS,
            "seconds": round(time.monotonic() - started),
            "goals": goals,
            "rows": [asdict(row) for row in rows],
        },
    )
    console = Console()
    console.print(_table(rows))
    for goal, met in goals.items():
        console.print(f"{'met' if met else 'MISSED'}: {goal}", highlight=False)
    console.print(f"{time.monotonic() - started:.0f} s, load {load:.2f} at the start; {_OUTPUT}", highlight=False)


def _in_process(part: Callable[[], list[Row]]) -> list[Row]:
    """A part's rows; with its process go its gigabytes, threads and environment."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part).result()


def _goals(rows: list[Row]) -> dict[str, bool]:
    """What the capture is to achieve, and whether it did."""
    captured = [row for row in rows if row.what == "capture"]
    ours = {row.size: row for row in captured if row.contender == capture.OURS}
    theirs = [row for row in captured if row.contender not in (capture.NONE, capture.OURS)]
    prompts, tokens = capture.FULL_SIZE
    return {
        f"our capture costs at most {_MOST_CAPTURE - 1:.0%} over {prompts} x {tokens} tokens": (
            ours[f"{prompts} x {tokens} tokens"].ratio <= _MOST_CAPTURE
        ),
        "our capture adds less time than any of vLLM's own ways": (
            all(ours[row.size].added < row.added for row in theirs)
        ),
    }


def _table(rows: list[Row]) -> Table:
    table = Table(title=f"median of {ROUNDS} rounds; ratios within a round, with their range")
    for heading in ("what", "size", "contender"):
        table.add_column(heading)
    for heading in ("seconds", "added", "ratio", "range"):
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
