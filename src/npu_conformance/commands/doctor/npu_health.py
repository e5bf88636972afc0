"""What stands in the way of an engine on the NPUs that it may be given: their health, and memory that others hold."""

from collections.abc import Sequence

from npu_conformance.commands.doctor.findings import Finding, Level
from npu_conformance.machine.npu_smi import SHARE, Npu


def npu_findings(npus: Sequence[Npu] | None, share: float | None = None) -> list[Finding]:
    """What stands in the way of an engine.

    Args:
        npus: chips that it may be given; None where npu-smi did not answer.
        share: of a device's memory that the engine wants.
    """
    if npus is None:
        remedy = "in a container mount /usr/local/bin/npu-smi and /usr/local/dcmi"
        return [Finding("note", "free device memory is not known", "an npu-smi that answers", remedy)]
    wanted = share or SHARE
    return [finding for npu in npus for finding in (*_health(npu), *_memory(npu, wanted))]


def _health(npu: Npu) -> list[Finding]:
    if npu.health == "OK":
        return []
    level: Level = "warning" if npu.health == "Warning" else "error"
    remedy = "see `npu-smi info -t health`; use another NPU, or reset this one"
    return [Finding(level, f"NPU {npu.number}: health {npu.health}", "OK", remedy)]


def _memory(npu: Npu, wanted: float) -> list[Finding]:
    if npu.total - npu.used >= wanted * npu.total:
        return []
    remedy = (
        "end who holds it (`npu-smi info` lists processes), use another NPU, or lower serve.gpu_memory_utilization in "
        "the model's YAML"
    )
    return [Finding("warning", f"NPU {npu.number}: {npu.free}", f"{wanted:.0%}, the engine's share", remedy)]
