"""The machine: its memory and disks, its NPUs, and who owns CANN."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.devices import Platform, find_devices
from npu_conformance.doctor.cann import ASCEND, Cann
from npu_conformance.doctor.devices import (
    Answer,
    ask_torch_npu,
    collect_visibility,
    visibility_facts,
    visibility_findings,
)
from npu_conformance.doctor.findings import Area, Finding
from npu_conformance.doctor.npu_smi import Npu, ask_npu_smi, npu_findings, read_npu_smi
from npu_conformance.provenance import machine, package_versions
from npu_conformance.run.cost import free_disk, free_memory
from npu_conformance.storage import cache_dir

GIB = 2**30
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
    memory: Callable[[], int] = free_memory
    disk: Callable[[Path], int] = free_disk

    @property
    def platform(self) -> tuple[Platform, int]:
        """What engines will run on, and how many devices there are."""
        return find_devices(self.device, self.dev)


def this_host(reports: Path, device: Platform | None) -> Host:
    """This machine, as a run would meet it."""
    installed = {name: version for name, version in package_versions().items() if name != "cann"}
    return Host(dict(os.environ), installed, cache_dir(), reports, uid=os.getuid(), device=device)


def npus_of(host: Host) -> list[Npu] | None:
    """NPUs as npu-smi tells; None where it does not."""
    text = host.npu_smi()
    return None if text is None else read_npu_smi(text) or None


def machine_area(host: Host) -> Area:
    """Memory and disks."""
    free, disks = host.memory(), {"cache": host.cache, "reports": host.reports}
    platform, count = host.platform
    facts = {
        **machine(),
        "platform": f"{platform}, {count} {'cores' if platform == 'cpu' else 'devices'}",
        "memory": f"{free / GIB:.1f} GiB free",
    }
    facts |= {name: f"{folder}, {host.disk(folder) / GIB:.1f} GiB free" for name, folder in disks.items()}
    findings = []
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


def npu_area(host: Host, cann: Cann | None, npus: list[Npu] | None, share: float | None = None) -> Area:
    """NPUs, which of them can be seen, their memory, and who owns CANN.

    Args:
        host: where to look.
        cann: the installation that was found.
        npus: what npu-smi told.
        share: of a device's memory that the engine wants.
    """
    seen = collect_visibility(host.environment, host.dev, host.torch_npu)
    facts = visibility_facts(seen) | {f"NPU {npu.number}": str(npu) for npu in npus or ()}
    findings = [*visibility_findings(seen), *npu_findings(npus, share), *_owner(cann, host.uid)]
    if not seen.numbers:
        remedy = (
            "pass them into the container with `--device /dev/davinci0 …`, or choose another platform with --device"
        )
        findings.append(Finding("error", "no /dev/davinci<N>", "a device file for each NPU", remedy))
    return Area("NPUs", facts, tuple(findings))


def _owner(cann: Cann | None, uid: int) -> list[Finding]:
    """A warning that does no harm, as the published report on BitCPM4-CANN-1B found.

    torch_npu 2.10.0 compares owners (utils/collect_env.py:53, utils/_path_manager.py:66).
    """
    others = [path for path in (() if cann is None else cann.owned) if path.stat().st_uid != uid]
    if not others:
        return []
    found = (
        f"{others[0]} belongs to uid {others[0].stat().st_uid}, this is uid {uid}: torch_npu will warn that its owner "
        "does not match the current owner"
    )
    remedy = "nothing: inference is not affected, access to NPUs goes by /dev/davinci*"
    return [Finding("note", found, "CANN of another user's to be no obstacle", remedy)]
