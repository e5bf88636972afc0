"""Which devices an engine could use here, found without touching a driver: the pytest process must not hold one.

What ids mean on an NPU, from torch_npu 2.9 and 2.10 (`npu/__init__.py`, `_parse_visible_devices` and
`_device_count_ascend_hal`) and CANN's page on the variable: `ASCEND_RT_VISIBLE_DEVICES` takes positions among the
devices that the driver shows, 0 to n-1, in ascending order; it is read up to the first other character and up to the
first id that is not below n; one that does not ascend hides all. Device files carry other numbers: those of the host,
also in a container that was given `/dev/davinci4` and `/dev/davinci5` only, whose ids are 0 and 1 (vllm-ascend #16309).
A process reads the variable itself, so a child's replaces its parent's and counts from the same devices.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from npu_conformance.errors import ConfigError
from npu_conformance.machine.capacity import cores, threads

Platform = Literal["npu", "cuda", "cpu"]
POOL_VARIABLE = "NPU_CONFORMANCE_DEVICES"
"""The ids that engines may be given, such as `0-3` or `0,2`; without it all that are visible."""
_DEV = Path("/dev")
_BIND = "VLLM_CPU_OMP_THREADS_BIND"


class _Accelerator(NamedTuple):
    variable: str
    """What narrows the devices of a process."""
    file: str
    """What the driver calls a device's file, before its number."""
    share: str
    """The same of a part of a device, where a container is given some; on their host they stand beside whole ones."""
    ids: re.Pattern[str]
    """The part of the variable's value that is read."""


_ACCELERATORS: dict[Platform, _Accelerator] = {
    "npu": _Accelerator("ASCEND_RT_VISIBLE_DEVICES", "davinci", "vdavinci", re.compile(r"\d+(,\d+)*")),
    "cuda": _Accelerator(
        "CUDA_VISIBLE_DEVICES", "nvidia", "nvidia", re.compile(r"({0})(\s*,\s*({0}))*".format(r"\d+|[GM][\w/-]+"))
    ),
}


@dataclass(frozen=True)
class Device:
    """A device that an engine may be given."""

    id: str
    """What the platform's variable calls it."""
    name: str
    """What the machine calls it: its device file's name where that is known."""


def find_devices(wanted: Platform | None = None, dev: Path = _DEV) -> tuple[Platform, int]:
    """The platform an engine will find and its devices; on a CPU, cores stand for devices.

    Args:
        wanted: insist on this platform; None takes the first accelerator there is, else the CPU.
        dev: folder of device files.

    Raises:
        ConfigError: see `lendable`.
    """
    for platform in _ACCELERATORS:
        if wanted == platform or (wanted is None and device_files(platform, dev)):
            return platform, len(lendable(platform, dev))
    return "cpu", cores()


def device_files(platform: Platform, dev: Path = _DEV) -> list[str]:
    """Names of the devices' files, by number; of parts of devices where no whole one is here.

    Docker and Ascend's device plugin call a vNPU's file `/dev/davinci100` in its container; others, such as GPUStack's,
    leave it the host's name, `/dev/vdavinci100`.
    """
    accelerator = _ACCELERATORS[platform]
    return _numbered(accelerator.file, dev) or _numbered(accelerator.share, dev)


def _numbered(name: str, dev: Path) -> list[str]:
    """Files of this name with a number behind it, by number."""
    pattern = re.compile(rf"{name}(\d+)")
    found = {int(match[1]): file.name for file in dev.iterdir() if (match := pattern.fullmatch(file.name))}
    return [found[number] for number in sorted(found)]


def lendable(platform: Platform, dev: Path = _DEV, environment: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """The devices of an accelerator that engines may be given, in ascending order; none of a CPU.

    Args:
        platform: of the engines.
        dev: folder of device files.
        environment: that of the process that starts engines.

    Raises:
        ConfigError: `NPU_CONFORMANCE_DEVICES` cannot be read, or names what is not here or hidden from this process.
    """
    if platform not in _ACCELERATORS:
        return ()
    files, variable = device_files(platform, dev), _ACCELERATORS[platform].variable
    visible = environment.get(variable)
    ids = [str(position) for position in range(len(files))] if visible is None else visible_ids(platform, visible)
    if told := environment.get(POOL_VARIABLE):
        allowed, ids = ids, _told(told)
        if visible is None:
            # A machine without device files has what it is told.
            ids = _positions(ids, files, told) if files else ids
        elif hidden := [one for one in ids if one not in allowed]:
            raise ConfigError(
                f"{POOL_VARIABLE}={told}: {', '.join(hidden)} cannot be lent, {variable}={visible} hides it: name ids "
                "that are visible"
            )
    return _named(platform, _ascending(ids), files)


def visible_ids(platform: Platform, value: str) -> list[str]:
    """The ids in a value of the platform's variable, as far as its runtime reads it."""
    match = _ACCELERATORS[platform].ids.match(value)
    words = [] if match is None else [word.strip() for word in match[0].split(",")]
    return [str(int(word)) if word.isdigit() else word for word in words]


def stay_on_host() -> None:
    """Keep the plugins of accelerators out of this process, which has not imported torch or transformers yet.

    The variable keeps torch from loading them. transformers and accelerate import torch_npu themselves wherever a
    search finds it, and attention then takes a branch of its own; a module that is None is not found.
    """
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    sys.modules.setdefault("torch_npu", None)  # type: ignore[arg-type]


def choosing_variables() -> tuple[str, ...]:
    """The variables that narrow the devices of a process, of all platforms."""
    return tuple(accelerator.variable for accelerator in _ACCELERATORS.values())


def visible_variable(platform: Platform) -> str:
    """The variable that narrows the devices of a process."""
    return _ACCELERATORS[platform].variable


def narrowed(platform: Platform, devices: Sequence[Device], dev: Path = _DEV) -> dict[str, str]:
    """What a process's environment needs so that it sees these devices only.

    Nothing where they are all there are and no variable is set: a machine that numbers its devices in another way than
    the sources say then works all the same.
    """
    variable = visible_variable(platform)
    everything = [str(position) for position in range(len(device_files(platform, dev)))]
    if variable not in os.environ and [device.id for device in devices] == everything:
        return {}
    return {variable: ",".join(device.id for device in devices)}


def cpu_binding(ranks: int) -> dict[str, str]:
    """Environment that keeps an engine on a CPU to its cores; empty where vLLM does well by itself.

    It refuses several ranks without a core for each. Engines side by side would wait for one another at every step, so
    of several workers of pytest-xdist, whose variables these are, each has its share of the cores.
    """
    own, worker = sorted(os.sched_getaffinity(0)), os.environ.get("PYTEST_XDIST_WORKER")
    share = max(1, cores() // _workers())
    if worker is not None:  # gw0 and on; one that replaces a dead one has the next number
        first = int(re.sub(r"\D", "", worker)) * share % len(own)
        own = own[first:] + own[:first]
    if ranks > 1:
        return {_BIND: "|".join(map(str, own[:ranks]))}
    if share == len(own) > 1:
        return {}
    # From 0.23 on vLLM binds the processes it starts, not the one it is in, which goes by the number of threads.
    return {_BIND: ",".join(map(str, own[:share])), **threads(share)}


def host_cores(wanted: Platform | None = None) -> int:
    """Cores for what computes on the host: all but those on which other workers' engines compute.

    An engine's threads never rest, and a thread that waits for its core holds up all the others of its process.

    Args:
        wanted: the platform that engines are insisted to run on; None for what is found.
    """
    others = _workers() - 1
    each = max(1, cores() // (others + 1)) if find_devices(wanted)[0] == "cpu" else 1
    return max(1, cores() - others * each)


def _workers() -> int:
    """Workers of pytest-xdist that run side by side."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _told(value: str) -> list[str]:
    """Ids and ranges of ids."""
    ids: list[str] = []
    for word in value.split(","):
        match = re.fullmatch(r"\s*(?:(\d+)(?:-(\d+))?|([GM][\w/-]+))\s*", word)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise ConfigError(
                f"{POOL_VARIABLE}={value}: {word.strip()!r} is no id and no range: write it like 0-3 or 0,2,5"
            )
        first, last, uuid = match.groups()
        ids += [uuid] if uuid else [str(one) for one in range(int(first), int(last or first) + 1)]
    return ids


def _positions(ids: Sequence[str], files: Sequence[str], told: str) -> list[str]:
    """Ids told where the platform's variable is not set, as the runtime will count them: by position.

    People who look into /dev name the numbers of files. What CUDA calls by a UUID stays.
    """
    by_position = {str(position): str(position) for position in range(len(files))}
    by_number = {re.sub(r"\D", "", file): str(position) for position, file in enumerate(files)}
    for known in (by_position, by_number):
        if all(one in known for one in ids if one.isdigit()):
            return [known.get(one, one) for one in ids]
    wrong = [one for one in ids if one.isdigit() and one not in by_position]
    raise ConfigError(
        f"{POOL_VARIABLE}={told}: {', '.join(wrong)} cannot be lent, there are {', '.join(files)}: name positions "
        f"among them, 0 to {len(files) - 1}, or numbers of files only"
    )


def _ascending(ids: Iterable[str]) -> list[str]:
    """Each once; the runtime of an NPU takes no other order."""
    return sorted(dict.fromkeys(ids), key=lambda one: (not one.isdigit(), int(one) if one.isdigit() else 0))


def _named(platform: Platform, ids: Sequence[str], files: Sequence[str]) -> tuple[Device, ...]:
    """Ids with the names of their devices.

    They are positions; where one is none, all are taken for numbers of files, which some containers ask for. What CUDA
    calls by a UUID is named so: that it is another one's `0` only the driver knows.
    """
    file = _ACCELERATORS[platform].file
    positions = all(one.isdigit() and int(one) < len(files) for one in ids)
    return tuple(
        Device(one, files[int(one)] if positions else f"{file}{one}" if one.isdigit() else one.replace("/", "-"))
        for one in ids
    )
