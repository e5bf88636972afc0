"""What `npu-smi info` says of NPUs: the one way to their memory that initialises none of them."""

import os
import re
import subprocess
from dataclasses import dataclass

from npu_conformance.doctor.findings import Finding

_TIMEOUT = 20
# vLLM takes 0.9 or more of a device unless told otherwise; an idle 910B has 0.95 free.
_SHARE = 0.9
_MIB = 1 / 1024
# | 0     910B3               | OK            | 98.9        33                0    / 0             |
# | 0                         | 0000:C1:00.0  | 0           0    / 0          3401 / 65536         |
# An A3 has a second number, its physical id, in the second row's first column.
_FIRST = re.compile(r"^\|\s*(\d+)\s+(\S+)\s*\|\s*(\S+)\s*\|")
_SECOND = re.compile(r"^\|\s*(\d+)(?:\s+\d+)?\s*\|\s*[0-9A-Fa-f]{4}:[0-9A-Fa-f:.]+\s*\|(.*)\|\s*$")
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

    def __str__(self) -> str:
        free = f"{(self.total - self.used) * _MIB:.1f} of {self.total * _MIB:.1f} GiB free"
        return f"{self.name}, {self.health}, {free}"


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
            # HBM where there is some, else the memory before it.
            used, total = max(((int(a), int(b)) for a, b in _USAGE.findall(second[2])), key=lambda pair: pair[1])
            number = card if second[1] == "0" else f"{card}.{second[1]}"
            found.append(Npu(number, name, health, used, total))
            card = None
        elif (first := _FIRST.match(line)) is not None:
            card, name, health = first.groups()
    return found


def npu_findings(npus: list[Npu] | None, share: float | None = None) -> list[Finding]:
    """What stands in the way of an engine.

    Args:
        npus: chips; None where npu-smi did not tell.
        share: of a device's memory that the engine wants.
    """
    if npus is None:
        remedy = "in a container mount /usr/local/bin/npu-smi and /usr/local/dcmi"
        return [Finding("note", "free device memory is not known", "an npu-smi that answers", remedy)]
    findings = []
    for npu in npus:
        if npu.health != "OK":
            remedy = "see `npu-smi info -t health`; use another NPU, or reset this one"
            findings.append(Finding("error", f"NPU {npu.number}: health {npu.health}", "OK", remedy))
        wanted = share or _SHARE
        if npu.total - npu.used < wanted * npu.total:
            free = f"{(npu.total - npu.used) * _MIB:.1f} of {npu.total * _MIB:.1f} GiB free"
            remedy = (
                "end who holds it (`npu-smi info` lists processes), use another NPU, or lower gpu_memory_utilization"
            )
            findings.append(
                Finding("warning", f"NPU {npu.number}: {free}", f"{wanted:.0%}, the engine's share", remedy)
            )
    return findings
