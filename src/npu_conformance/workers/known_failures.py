"""Failures that engines are known for: what a line of their log means, and what to do about it.

The table is `known_failures.yaml`, beside this file.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from npu_conformance.machine.capacity import killed_for_memory

_READ = 1 << 20


@dataclass(frozen=True)
class Known:
    """A failure that engines are known for."""

    name: str
    pattern: re.Pattern[str]
    """Of a line that only this failure writes."""
    meaning: str
    remedy: str
    source: str
    general: bool = False
    """Says little more than that something failed: used only where nothing else is recognised."""

    def __str__(self) -> str:
        return f"known failure: {self.meaning}; what to do: {self.remedy} ({self.source})"


def _table() -> tuple[Known, ...]:
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return tuple(Known(pattern=re.compile("|".join(row.pop("lines")), re.MULTILINE), **row) for row in rows)


KNOWN = _table()
_CRASH = next(known for known in KNOWN if known.name == "crash")


def find_known(text: str) -> Known | None:
    """The failure that a log shows: the first specific one, else the first general one."""
    found = [
        (known.general, match.start(), known) for known in KNOWN if (match := known.pattern.search(text)) is not None
    ]
    return min(found, key=lambda one: one[:2])[2] if found else None


def explanation(log: Path, *, killed: bool = False, root: Path = Path("/")) -> str:
    """What is known of the failure in a worker's log, as a line that ends with a newline; empty where nothing is.

    Args:
        log: its log, of which the last MiB is read; need not exist.
        killed: a process ended that nobody here had ended, by SIGKILL as far as is known.
        root: where this machine's `proc` and `sys` are.
    """
    text = _end_of(log)
    known = find_known(text)
    if killed and (known is None or known.general) and not _CRASH.pattern.search(text):
        return f"{_killed(root)}\n"
    return "" if known is None else f"{known}\n"


def _end_of(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _READ))
        return file.read().decode("utf-8", errors="replace")


def _killed(root: Path) -> str:
    """SIGKILL without a word in the log: as a rule the kernel's, for memory."""
    counted = killed_for_memory(root)
    times = f", which has killed {counted} processes of this container so far" if counted else ""
    return (
        f"known failure: killed from outside without a word in its log, as the kernel does for memory{times}; what to "
        "do: see `dmesg`, give the container more memory or the engine less (VLLM_CPU_KVCACHE_SPACE, --prompts)"
    )
