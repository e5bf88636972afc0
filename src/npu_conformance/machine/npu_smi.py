"""What `npu-smi info` says of NPUs: the one way to their memory that initialises none of them."""

import os
import re
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

_TIMEOUT = 20
# vLLM takes 0.9 or more of a device unless set otherwise; an idle 910B has 0.95 free.
SHARE = 0.9
"""Of a device's memory that an engine wants, where nobody says otherwise."""
_MIB = 1 / 1024
# | 0     910B3               | OK            | 98.9        33                0    / 0             |
# | 0                         | 0000:C1:00.0  | 0           0    / 0          3401 / 65536         |
# An A3 has a second number, its physical id, in the second row's first column. One that does not answer has NA for
# figures.
_FIRST = re.compile(r"^\|\s*(\d+)\s+(\S+)\s*\|\s*(\S+)\s*\|")
_SECOND = re.compile(r"^\|\s*(\d+)(?:\s+(\d+))?\s*\|\s*[0-9A-Fa-f]{4}:[0-9A-Fa-f:.]+\s*\|(.*)\|\s*$")
_USAGE = re.compile(r"(\d+)\s*/\s*(\d+)")


@dataclass(frozen=True)
class Npu:
    """A chip."""

    number: str
    """Card, and chip where a card has several: `0`, `0.1`."""
    name: str
    health: str
    used: int
    """MiB."""
    total: int
    """0 where it is not known."""
    file: str = ""
    """Its device file's name on the host, as far as its numbers say."""

    @property
    def free(self) -> str:
        """Its free memory in words."""
        if not self.total:
            return "memory not known"
        return f"{(self.total - self.used) * _MIB:.1f} of {self.total * _MIB:.1f} GiB free"

    def __str__(self) -> str:
        return f"{self.name}, {self.health}, {self.free}"


def ask_npu_smi() -> str | None:
    """What it prints; None where it is not there, fails or hangs."""
    # Its table is translated on a localised system.
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    try:
        done = subprocess.run(
            ["npu-smi", "info"],  # noqa: S607 (where it is depends on the image)
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def read_npu_smi(text: str) -> list[Npu]:
    """The chips of its table."""
    found: list[Npu] = []
    name = health = card = None
    for line in text.splitlines():
        if (second := _SECOND.match(line)) is not None and card and name and health:
            chip, physical, figures = second.groups()
            # HBM where there is some, else the memory before it.
            pairs = ((int(used), int(total)) for used, total in _USAGE.findall(figures))
            used, total = max(pairs, key=lambda pair: pair[1], default=(0, 0))
            number = card if chip == "0" else f"{card}.{chip}"
            file = physical or (card if chip == "0" else "")
            found.append(Npu(number, name, health, used, total, f"davinci{file}" if file else ""))
            card = None
        elif (first := _FIRST.match(line)) is not None:
            card, name, health = first.groups()
    return found


def lent_npus(npus: Sequence[Npu], files: Sequence[str], lent: Collection[str]) -> list[Npu]:
    """The chips that engines may be given; all where it is not clear which chip has which file.

    Args:
        npus: those that npu-smi lists.
        files: names of the device files here.
        lent: those of them that engines may be given.
    """
    listed, here = {npu.file for npu in npus}, set(files)
    if not (listed <= here or here <= listed):
        if len(files) != len(npus):
            return list(npus)
        # Numbered anew, in the files' order.
        npus = [replace(npu, file=file) for npu, file in zip(npus, files, strict=True)]
    return [npu for npu in npus if npu.file in lent]
