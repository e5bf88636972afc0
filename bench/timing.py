"""Contenders that take turns, and what came of it."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One contender of a race. Seconds and ratios are medians of the rounds."""

    what: str
    contender: str
    size: str
    seconds: float
    added: float
    """Seconds more than the yardstick's of the same round."""
    ratio: float
    """Seconds by the yardstick's of the same round."""
    ratio_min: float
    ratio_max: float
    of: str
    """The contender that is the yardstick."""
    others: float
    """Share of the machine's processors that other processes took meanwhile."""
    note: str = ""


def race(
    what: str,
    size: str,
    contenders: Mapping[str, Callable[[], object]],
    *,
    of: str,
    clean_up: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Time contenders in turns, after one round that warms them up.

    Args:
        what: what is measured.
        size: how much of it each contender does.
        contenders: by name; what they return is dropped.
        of: the contender the others are compared with.
        clean_up: called after each turn, unmeasured.
    """
    started, busy = time.monotonic(), _cpu_seconds()
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(ROUNDS + 1):
        # Nobody always follows the same neighbour, whose dirty pages or garbage it might pay for.
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken = _time(contenders[name])
            clean_up()
            if turn > 0:
                seconds[name].append(taken)
    elapsed = time.monotonic() - started
    everybody, mine = (after - before for after, before in zip(_cpu_seconds(), busy, strict=True))
    others = max(0.0, everybody - mine) / (elapsed * (psutil.cpu_count() or 1))
    print(f"{what}, {size}: {elapsed:.0f} s, others took {others:.0%} of the processors", flush=True)
    return [_row(what, name, size, seconds[name], of, seconds[of], others) for name in names]


def _time(contender: Callable[[], object]) -> float:
    # Garbage of the one before is not this one's; what it makes itself is, so collection stays on.
    gc.collect()
    started = time.perf_counter()
    result = contender()
    taken = time.perf_counter() - started
    del result
    return taken


def _cpu_seconds() -> tuple[float, float]:
    """Processor time taken so far by everybody, and by this process and its children."""
    everybody, mine = psutil.cpu_times(), psutil.Process().cpu_times()
    # The guests' time is in `user` already; waiting for a disk takes no processor.
    return everybody.user + everybody.nice + everybody.system, sum(mine[:4])


def _row(what: str, name: str, size: str, mine: list[float], of: str, yardstick: list[float], others: float) -> Row:
    ratios = [a / b for a, b in zip(mine, yardstick, strict=True)]
    return Row(
        what=what,
        contender=name,
        size=size,
        seconds=statistics.median(mine),
        added=statistics.median(a - b for a, b in zip(mine, yardstick, strict=True)),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        of=of,
        others=others,
    )
