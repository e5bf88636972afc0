"""A machine with two NPUs that doctor finds nothing wrong with."""

from pathlib import Path
from typing import Any

from npu_conformance.commands.doctor.environment import DETERMINISTIC
from npu_conformance.commands.doctor.findings import Area
from npu_conformance.commands.doctor.machine import Host
from npu_conformance.commands.doctor.torch_npu import Answer
from npu_conformance.machine.capacity import GIB

SOUND = {
    "python": "3.11.14",
    "torch": "2.10.0",
    "torch-npu": "2.10.0.post4",
    "transformers": "5.5.4",
    "vllm": "0.23.0+empty",
    "vllm-ascend": "0.23.0",
}
# As issues 2800 and 2534 of vllm-ascend have them: an A2, and an A3 with its two chips a card.
A2 = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.5.2                   Version: 25.5.2                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 98.9        33                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3401 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Alarm         | 99.2        34                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          64465/ 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 1       0                 | 1207319       | python                   | 61000                   |
+===========================+===============+====================================================+
"""
A3 = """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 1     Ascend910           | OK            | 186.3       36                0    / 0             |
| 0     2                   | 0000:99:00.0  | 0           0    / 0          3415 / 65536         |
+------------------------------------------------------------------------------------------------+
| 1     Ascend910           | OK            | -           36                0    / 0             |
| 1     3                   | 0000:9B:00.0  | 0           0    / 0          3193 / 65536         |
+===========================+===============+====================================================+
"""


def sound_host(folder: Path, **changes: Any) -> Host:
    """The machine, its files in a folder, and what differs from it."""
    dev = folder / "dev"
    if not dev.exists():
        dev.mkdir()
        for name in ("davinci0", "davinci1", "davinci_manager", "devmm_svm", "hisi_hdc"):
            (dev / name).touch()
    sound: dict[str, Any] = {
        "environment": {name: values[0] for name, values in DETERMINISTIC.items()},
        "installed": SOUND,
        "cache": folder / "cache",
        "reports": folder / "reports",
        "ascend": folder / "Ascend",
        "dev": dev,
        "uid": folder.stat().st_uid,
        "npu_smi": lambda: A2.replace("64465", " 3465").replace("Alarm", "OK   "),
        "torch_npu": lambda: Answer(available=True, count=2),
        "memory": lambda: 64 * GIB,
        "disk": lambda _: 500 * GIB,
        "cores": lambda: 192,
    }
    return Host(**{**sound, **changes})


def texts(area: Area) -> list[str]:
    """What was found, with its level."""
    assert all(finding.found and finding.expected and finding.remedy for finding in area.findings)
    return [f"{finding.level}: {finding.found}" for finding in area.sorted_findings]
