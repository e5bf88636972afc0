"""How much memory engines hold, asked from outside them: before, during and after one."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from npu_conformance.commands.probe.seen import Held
from npu_conformance.errors import ConformanceError, JobError
from npu_conformance.machine.devices import Device, Platform, device_files, lendable, narrowed
from npu_conformance.machine.npu_smi import ask_npu_smi, lent_npus, read_npu_smi
from npu_conformance.workers.guard import alive

_LONGEST = 20.0
_PAUSE = 0.5
_TIMEOUT = 120
_MIB = 2**20
# A runtime that is asked makes a context on each device; it is there each time, so that it cancels out.
_QUESTION = """
import json, torch
{plugin}
found = [getattr(torch, "{platform}").mem_get_info(index) for index in range({count})]
print("\\nnpu-conformance asks:", json.dumps([total - free for free, total in found]), flush=True)
"""
_ANSWER = re.compile(r"^npu-conformance asks: (\[.*\])$", re.MULTILINE)


class Measure:
    """Memory before, during and after one engine."""

    def __init__(self, platform: Platform, *, killed: bool) -> None:
        """Measure what is held before. Args: platform: of the engine; killed: how it is to end."""
        self._platform = platform
        self._killed = killed
        self._processes: list[psutil.Process] = []
        self._lent: Sequence[Device] = ()
        self._during: dict[str, float] = {}
        self._problem = "the engine ended before its memory was measured"
        self._before = self._held()

    def look(self, lent: Sequence[Device], measured: Path) -> None:
        """Measure while the engine is there, and say so.

        Args:
            lent: the devices it has.
            measured: a file to leave.
        """
        self._processes = psutil.Process().children(recursive=True)
        self._lent, self._during = lent, self._held()
        measured.touch()

    def after(self) -> Held:
        """Measure after its end, again and again until it is as free as before or has had long enough.

        Raises:
            JobError: it was not measured while it was there, or there is no measure.
        """
        started = time.monotonic()
        while not self._is_free(now := self._held()) and time.monotonic() - started < _LONGEST:
            time.sleep(_PAUSE)
        if not (self._before and self._during and now):
            raise JobError(self._problem)
        return Held(
            what="resident memory of its processes" if self._platform == "cpu" else "memory of the devices",
            killed=self._killed,
            before=self._before,
            during=self._during,
            after=now,
            waited=time.monotonic() - started,
            lent=() if self._platform == "cpu" else tuple(device.id for device in self._lent),
            left=sum(map(alive, self._processes)),
        )

    def _is_free(self, now: dict[str, float]) -> bool:
        return all(now[name] <= self._before.get(name, 0.0) + 1 for name in now) and not any(
            map(alive, self._processes)
        )

    def _held(self) -> dict[str, float]:
        """In use now; nothing where it cannot be measured, which must not end an engine that is asked other things."""
        try:
            return _resident(self._processes) if self._platform == "cpu" else _on_devices(self._platform)
        except (ConformanceError, OSError, subprocess.SubprocessError) as error:
            self._problem = str(error)
            return {}


def _resident(processes: Sequence[psutil.Process]) -> dict[str, float]:
    """Of processes, those that are there; on a CPU an engine's memory is theirs."""
    found = 0
    for process in processes:
        with suppress(psutil.Error):  # it may end while it is asked
            found += process.memory_info().rss if alive(process) else 0
    return {"host": found / _MIB}


def _on_devices(platform: Platform) -> dict[str, float]:
    """Of all devices that may be lent, by id."""
    pool = lendable(platform)
    listed = _by_npu_smi(pool) if platform == "npu" else None
    return listed if listed is not None else _by_runtime(platform, pool)


def _by_npu_smi(pool: Sequence[Device]) -> dict[str, float] | None:
    """Without touching them; None where it does not list them all."""
    files = device_files("npu")
    chips = lent_npus(read_npu_smi(ask_npu_smi() or ""), files, [device.name for device in pool])
    used = {npu.file: float(npu.used) for npu in chips}
    return {device.id: used[device.name] for device in pool} if all(one.name in used for one in pool) else None


def _by_runtime(platform: Platform, pool: Sequence[Device]) -> dict[str, float]:
    """Asked in a process of its own: where this one initialised a device, it would hold it."""
    question = _QUESTION.format(
        platform=platform, count=len(pool), plugin="import torch_npu" if platform == "npu" else ""
    )
    done = subprocess.run(
        [sys.executable, "-c", question],
        env={**os.environ, **narrowed(platform, pool)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT,
    )
    if (found := _ANSWER.search(done.stdout)) is None:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise JobError(f"torch.{platform} does not say how much memory is used: {said}")
    return {device.id: used / _MIB for device, used in zip(pool, json.loads(found[1]), strict=True)}
