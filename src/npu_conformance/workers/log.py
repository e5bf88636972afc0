"""What the log of a living engine says of it: weights it left out, fallbacks it took.

The table is `known_warnings.yaml`, beside this file.
"""

import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from npu_conformance.machine.storage import LOG_VARIABLE

# An engine writes some 100 KiB; what is beyond this is not read, and that is said.
_READ = 1 << 25
_LONGEST_LINE = 1 << 13
_SHOWN = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What vLLM writes in front of a message: (EngineCore pid=7) WARNING 11-27 08:19:08 [utils.py:597]
_PREFIX = re.compile(r"(?:\([^()]{1,40}\) ){0,3}[A-Z]{4,8} \d\d-\d\d \d\d:\d\d:\d\d \[[^\[\]]{1,80}\] ")


@dataclass(frozen=True)
class Warned:
    """A warning that engines are known for."""

    name: str
    lines: tuple[tuple[str, ...], ...]
    """Texts that follow each other in a line."""
    meaning: str
    remedy: str
    source: str
    unless: tuple[str, ...] = ()
    fails: bool = False
    """Another model runs than the checkpoint holds."""

    def said_in(self, line: str) -> bool:
        """Whether a line is this warning; in time that grows with its length alone."""
        return any(_follow(texts, line) for texts in self.lines) and not any(one in line for one in self.unless)


class LogFinding(BaseModel):
    """What was found in a log."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Of its row in the table."""
    line: str
    """The first such line, without what stands in front of the message."""
    times: NonNegativeInt


class EngineLog(BaseModel):
    """What an engine wrote while it lived."""

    model_config = ConfigDict(frozen=True)

    lines: NonNegativeInt
    whole: bool = True
    """Whether all of it was read."""
    findings: tuple[LogFinding, ...] = ()


def _table() -> dict[str, Warned]:
    rows = yaml.safe_load(Path(__file__).with_name("known_warnings.yaml").read_text(encoding="utf-8"))
    found = (
        Warned(
            lines=tuple(tuple(line.split("*")) for line in row.pop("lines")),
            unless=tuple(row.pop("unless", ())),
            **row,
        )
        for row in rows
    )
    return {one.name: one for one in found}


WARNINGS = _table()
"""By name, in the order in which they are tried."""


def log_length() -> int:
    """Bytes of this worker's log so far; 0 where it has none."""
    return path.stat().st_size if (path := _own_log()) is not None else 0


def log_since(start: int) -> dict[str, Any]:
    """What this worker's log says from a byte on, for a trace's provenance; nothing where it has none."""
    sys.stdout.flush()
    sys.stderr.flush()
    return {"log": read_log(path, start).model_dump(mode="json")} if (path := _own_log()) is not None else {}


def _own_log() -> Path | None:
    path = Path(os.environ.get(LOG_VARIABLE, ""))
    return path if path.is_file() else None


def read_log(log: Path, start: int = 0) -> EngineLog:
    """What a log says from a byte on."""
    first: dict[str, str] = {}
    times: Counter[str] = Counter()
    count = 0
    with log.open("rb") as file:
        file.seek(start)
        while file.tell() < start + _READ and (raw := file.readline(_LONGEST_LINE)):
            count += raw.endswith(b"\n")
            line = raw.decode("utf-8", errors="replace")
            if (name := next((one.name for one in WARNINGS.values() if one.said_in(line)), None)) is not None:
                times[name] += 1
                first.setdefault(name, _message(line))
        whole = not file.read(1)
    findings = tuple(LogFinding(name=name, line=line, times=times[name]) for name, line in first.items())
    return EngineLog(lines=count, whole=whole, findings=findings)


def _follow(texts: tuple[str, ...], line: str) -> bool:
    at = 0
    for text in texts:
        if (found := line.find(text, at)) < 0:
            return False
        at = found + len(text)
    return True


def _message(line: str) -> str:
    plain = _PREFIX.sub("", _COLOURS.sub("", line), count=1).strip()
    return "".join(letter if letter.isprintable() else " " for letter in plain)[:_SHOWN]
