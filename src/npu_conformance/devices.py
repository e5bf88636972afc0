"""How many devices an engine could use here, found without touching a driver: the pytest process must not hold one."""

import os
import re
from pathlib import Path
from typing import Literal

Platform = Literal["npu", "cuda", "cpu"]
# The variable that narrows them, and what the driver calls them.
_ACCELERATORS: dict[Platform, tuple[str, re.Pattern[str]]] = {
    "npu": ("ASCEND_RT_VISIBLE_DEVICES", re.compile(r"davinci\d+")),
    "cuda": ("CUDA_VISIBLE_DEVICES", re.compile(r"nvidia\d+")),
}


def find_devices(wanted: Platform | None = None, dev: Path = Path("/dev")) -> tuple[Platform, int]:
    """The platform an engine will find and its devices; on a CPU, cores stand for devices.

    Args:
        wanted: insist on this platform; None takes the first accelerator there is, else the CPU.
        dev: folder of device files.
    """
    for platform, (variable, name) in _ACCELERATORS.items():
        if wanted not in (platform, None):
            continue
        present = sum(1 for file in dev.iterdir() if name.fullmatch(file.name))
        if present or wanted == platform:
            chosen = os.environ.get(variable)
            return platform, present if chosen is None else len([one for one in chosen.split(",") if one.strip()])
    return "cpu", len(os.sched_getaffinity(0))


def cpu_binding(ranks: int) -> dict[str, str]:
    """Environment without which vLLM on a CPU refuses several ranks: a core for each."""
    cores = sorted(os.sched_getaffinity(0))[:ranks]
    return {"VLLM_CPU_OMP_THREADS_BIND": "|".join(map(str, cores))}
