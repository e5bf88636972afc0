"""The machine, and its memory and disks."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.commands.doctor.findings import Area, Finding
from npu_conformance.commands.doctor.torch_npu import Answer, ask_torch_npu
from npu_conformance.machine.cann import ASCEND
from npu_conformance.machine.capacity import GIB, THREAD_VARIABLES, cores, free_disk, free_memory
from npu_conformance.machine.devices import Platform, find_devices
from npu_conformance.machine.npu_smi import ask_npu_smi
from npu_conformance.machine.provenance import machine, package_versions
from npu_conformance.machine.storage import cache_dir

# A twin's engine takes 1.7 to 2.0 GiB, its reference and logits fit beside it.
_MEMORY, _DISK = 3 * GIB, 2 * GIB


@dataclass(frozen=True)
class Host:
    """Where doctor looks: at this machine, or at a test's."""

    environment: Mapping[str, str]
    installed: Mapping[str, str]
    """Versions by package."""
    cache: Path
    reports: Path
    ascend: Path = ASCEND
    dev: Path = Path("/dev")
    uid: int = 0
    device: Platform | None = None
    """The platform that is insisted on."""
    npu_smi: Callable[[], str | None] = ask_npu_smi
    torch_npu: Callable[[], Answer] = ask_torch_npu
    may_open: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
    """Whether this user may open a device file."""
    memory: Callable[[], int] = free_memory
    disk: Callable[[Path], int] = free_disk
    cores: Callable[[], int] = cores

    @property
    def platform(self) -> tuple[Platform, int]:
        """What engines will run on, and how many devices there are."""
        return find_devices(self.device, self.dev)


def this_host(reports: Path, device: Platform | None) -> Host:
    """This machine, as a run would meet it."""
    installed = {name: version for name, version in package_versions().items() if name != "cann"}
    return Host(dict(os.environ), installed, cache_dir(), reports, uid=os.getuid(), device=device)


def _threads(host: Host) -> str:
    """What references and whatever reads weights compute on; engines get the environment as it is."""
    own = [f"{name}={host.environment[name]}" for name in THREAD_VARIABLES if name in host.environment]
    ignored = f"; {', '.join(own)} is left to engines" if own else ""
    return f"{host.cores()} for references and what reads weights{ignored}"


def machine_area(host: Host) -> Area:
    """Memory and disks."""
    free, disks = host.memory(), {"cache": host.cache, "reports": host.reports}
    platform, count = host.platform
    facts = {
        **machine(),
        "platform": f"{platform}, {count} {'cores' if platform == 'cpu' else 'devices'}",
        "threads": _threads(host),
        "memory": f"{free / GIB:.1f} GiB free",
    }
    facts |= {name: f"{folder}, {host.disk(folder) / GIB:.1f} GiB free" for name, folder in disks.items()}
    findings = []
    if platform == "cuda" and count == 0:
        remedy = "load the driver, give the container its devices, or choose another platform with --device"
        findings.append(Finding("error", "no /dev/nvidia<N>", "a device file for each GPU", remedy))
    if free < _MEMORY:
        remedy = "end other processes, or use a larger machine"
        expected = f"{_MEMORY / GIB:.0f} GiB, which the smallest run takes"
        findings.append(Finding("warning", f"{free / GIB:.1f} GiB of memory are free", expected, remedy))
    for name, folder in disks.items():
        if (left := host.disk(folder)) < _DISK:
            remedy = "free some" + (", or name another cache with NPU_CONFORMANCE_CACHE" if name == "cache" else "")
            found = f"{left / GIB:.1f} GiB are free in {folder}"
            findings.append(Finding("warning", found, f"{_DISK / GIB:.0f} GiB, which the smallest run takes", remedy))
    return Area("machine", facts, tuple(findings))
