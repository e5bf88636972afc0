"""The NPUs: their device files, which of them can be seen, their health and memory, and who owns CANN."""

from npu_conformance.commands.doctor.findings import Area, Finding
from npu_conformance.commands.doctor.machine import Host
from npu_conformance.commands.doctor.npu_health import npu_findings
from npu_conformance.commands.doctor.torch_npu import Answer
from npu_conformance.commands.doctor.visibility import VARIABLE, visibility
from npu_conformance.machine.cann import Cann
from npu_conformance.machine.devices import POOL_VARIABLE, device_files, lendable
from npu_conformance.machine.npu_smi import Npu, lent_npus, read_npu_smi

# What narrows the devices of a process, of a container and of a run of this suite.
_VARIABLES = (VARIABLE, "ASCEND_VISIBLE_DEVICES", POOL_VARIABLE)
# Beside /dev/davinci<N>; installation.html of vllm-ascend passes them to every container.
_MANAGERS = ("davinci_manager", "devmm_svm", "hisi_hdc")


def npus_of(host: Host) -> list[Npu] | None:
    """NPUs as npu-smi lists them; None where it does not answer."""
    text = host.npu_smi()
    return None if text is None else read_npu_smi(text) or None


def npu_area(host: Host, cann: Cann | None, npus: list[Npu] | None, share: float | None = None) -> Area:
    """NPUs, which of them can be seen, their memory, and who owns CANN.

    Args:
        host: where to look.
        cann: the installation that was found.
        npus: what npu-smi lists.
        share: of a device's memory that the engine wants.
    """
    files = device_files("npu", host.dev)
    lent = [device.name for device in lendable("npu", host.dev, host.environment)]
    # Importing it takes seconds.
    answer = host.torch_npu() if files else Answer()
    facts = {
        "device files": _listed(files),
        **{name: host.environment[name] for name in _VARIABLES if name in host.environment},
        "for engines": _listed(lent),
    }
    if answer.count is not None:
        said = f"is_available() {answer.available}, device_count() {answer.count}"
        facts["torch_npu"] = f"{said}, asked in a process of its own"
    findings = _device_files(host, files)
    if files:
        findings += visibility(host.environment, files, answer)
    findings += npu_findings(None if npus is None else lent_npus(npus, files, lent), share)
    return Area(
        "NPUs",
        facts | {f"NPU {npu.number}": str(npu) for npu in npus or ()},
        (*findings, *_owner(cann, host.uid)),
    )


def _listed(files: list[str]) -> str:
    return ", ".join(f"/dev/{file}" for file in files) or "none"


def _device_files(host: Host, files: list[str]) -> list[Finding]:
    """Those that a container lacks, or that this user may not open."""
    if not files:
        remedy = (
            "load the driver; pass them into the container with `--device /dev/davinci0 …`, a vNPU with "
            "`--device /dev/vdavinci100:/dev/davinci100`; or choose another platform with --device"
        )
        return [Finding("error", "no /dev/davinci<N>", "a device file for each NPU", remedy)]
    findings = []
    if missing := [name for name in _MANAGERS if not (host.dev / name).exists()]:
        remedy = "pass them into the container with `--device`"
        found = f"no {_listed(missing)} beside /dev/davinci*"
        findings.append(Finding("error", found, "all of them, or no NPU can be opened", remedy))
    if closed := [file for file in files if not host.may_open(host.dev / file)]:
        remedy = "add this user to the group that owns them (as a rule HwHiAiUser), or run as root"
        findings.append(Finding("error", f"this user may not open {_listed(closed)}", "read and write access", remedy))
    return findings


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
    return [Finding("note", found, "the same owner, or that warning in an engine's log", remedy)]
