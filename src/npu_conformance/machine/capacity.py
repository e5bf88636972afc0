"""What this process may take of its machine: memory and cores, within the limits of the containers it is in.

Hosts with kernels 4.19 and 5.10 have version 1 of control groups, a tree for each kind of limit; later ones have
version 2, a single tree. Every group above this process's own limits it too. A container may see its own group at the
top of the tree while `/proc/self/cgroup` still has the host's path to it, so of a path what is there is read.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT = Path("/")
_GROUPS = "sys/fs/cgroup"
GIB = 2**30
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What the libraries that compute on a processor read for their number of threads."""
# Words of /proc/cpuinfo, of Arm's and of x86's.
_INSTRUCTIONS = {"bfloat16": "bf16|avx512_bf16|amx_bf16", "float16": "asimdhp|avx512_fp16|amx_fp16"}


def free_memory(root: Path = _ROOT) -> int:
    """Bytes this process may still take: of the machine, and of its containers where they have limits.

    Args:
        root: where `proc` and `sys` are.
    """
    free = [psutil.virtual_memory().available]
    for group in _groups(root, "memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, taken = _number(group / limit), _number(group / used)
            if most is not None and taken is not None:
                free.append(max(0, most - taken + _reclaimable(group)))
    return min(free)


def cores(root: Path = _ROOT) -> int:
    """Cores that computing threads can keep busy: those this process may run on, and no more than its quota of time.

    A quota is rounded down, for threads that wait for one another all wait for the one that was stopped.

    Args:
        root: where `proc` and `sys` are.
    """
    quotas = (quota for group in _groups(root, "cpu") if (quota := _quota(group)) is not None)
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def killed_for_memory(root: Path = _ROOT) -> int:
    """Processes of this container that the kernel has killed for memory; 0 where that is not told.

    Args:
        root: where `proc` and `sys` are.
    """
    counted = 0
    for group in _groups(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            text = (group / name).read_text(encoding="utf-8") if (group / name).is_file() else ""
            found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
            counted = int(found[1]) if found else counted  # groups come from the top: the last is this process's own
    return counted


def threads(number: int | None = None) -> dict[str, str]:
    """Environment of a process that computes on this many threads, whatever is set here; on all cores by default.

    Ascend's images set OMP_NUM_THREADS to 1, for engines.
    """
    return dict.fromkeys(THREAD_VARIABLES, str(number or cores()))


def computes_in(dtype: str, root: Path = _ROOT) -> bool:
    """Whether the processor itself multiplies numbers of a dtype; a Kunpeng 920, for one, has no bfloat16.

    Args:
        dtype: by torch's name.
        root: where `proc` is.
    """
    words = _INSTRUCTIONS.get(dtype)
    if words is None:
        return True
    cpuinfo = root / "proc/cpuinfo"
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.is_file() else ""
    return re.search(rf"^(?:flags|Features)\s*:.*\b(?:{words})\b", text, re.MULTILINE) is not None


def _groups(root: Path, kind: str) -> Iterator[Path]:
    """Folders of the groups that limit this process, its own and those above; of version 2, and of 1 for this kind."""
    own = root / "proc/self/cgroup"
    for line in own.read_text(encoding="utf-8").splitlines() if own.is_file() else ():
        _, kinds, path = line.split(":", 2)
        trees = ("", "unified") if not kinds else (kinds, kind) if kind in kinds.split(",") else ()
        # A group outside of what is shown here begins with `/..`.
        parts = [] if ".." in path.split("/") else [part for part in path.split("/") if part]
        for tree in trees:
            folder = root / _GROUPS / tree
            yield from (place for end in range(len(parts) + 1) if (place := folder.joinpath(*parts[:end])).is_dir())


def _quota(group: Path) -> float | None:
    """Cores' worth of time; None where there is no limit."""
    both = group / "cpu.max"
    if both.is_file():
        most, period = both.read_text(encoding="utf-8").split()
        return None if most == "max" else int(most) / int(period)
    quota, every = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / every if quota is not None and every and quota > 0 else None


def _reclaimable(group: Path) -> int:
    """Bytes of files that the kernel keeps while nobody wants the room; they count as used."""
    stat = group / "memory.stat"
    text = stat.read_text(encoding="utf-8") if stat.is_file() else ""
    counted = dict(line.split(maxsplit=1) for line in text.splitlines() if line)
    # Version 1 counts a group's own in `inactive_file`, and with those below it in `total_inactive_file`.
    return int(counted.get("total_inactive_file", counted.get("inactive_file", 0)))


def _number(file: Path) -> int | None:
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else "max"
    return None if text == "max" else int(text)


def free_disk(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be made."""
    return int(shutil.disk_usage(existing(folder)).free)


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
