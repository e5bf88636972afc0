"""Waiting for an NPU's memory, which may be free only some seconds after the process that held it has ended.

vllm-ascend refuses to start where less than its share is free (`worker/worker.py` 268 in 0.18.0, 470 in 0.23.0).
"""

import time
from collections.abc import Callable, Collection

from npu_conformance.machine.devices import device_files
from npu_conformance.machine.npu_smi import SHARE, Npu, ask_npu_smi, lent_npus, read_npu_smi

_LONGEST = 60.0
_POLL = 2.0


def wait_for_memory(lent: Collection[str], share: float | None, name: str, say: Callable[[str], None]) -> None:
    """Return as soon as NPUs have as much free as an engine wants, or after a while: then vLLM says what it lacks.

    Where npu-smi does not answer there is nothing to wait for.

    Args:
        lent: names of their device files.
        share: of a device's memory that the engine wants; None for vLLM's own.
        name: the engine's, for the people who wait.
        say: told what is waited for, when there is something.
    """
    wanted, ends, told = share or SHARE, time.monotonic() + _LONGEST, False
    while busy := [npu for npu in _npus(lent) if npu.total - npu.used < wanted * npu.total]:
        held = ", ".join(f"NPU {npu.number} has {npu.free}" for npu in busy)
        if time.monotonic() >= ends:
            say(f"{name}: starts anyway after {_LONGEST:g} s: {held}")
            return
        if not told:
            told = True
            say(
                f"{name}: waits up to {_LONGEST:g} s for {wanted:.0%} of the memory, which ended processes may still "
                f"hold: {held}"
            )
        time.sleep(_POLL)


def _npus(lent: Collection[str]) -> list[Npu]:
    text = ask_npu_smi()
    return [] if text is None else lent_npus(read_npu_smi(text), device_files("npu"), lent)
