"""The NPUs of a machine: each finding appears where it should, and not on a sound machine."""

from pathlib import Path

import pytest

from npu_conformance.commands.doctor.findings import Diagnosis
from npu_conformance.commands.doctor.machine import Host
from npu_conformance.commands.doctor.npus import npu_area, npus_of
from npu_conformance.commands.doctor.torch_npu import Answer
from npu_conformance.machine.cann import Cann
from tests.unit.helpers.doctor_hosts import A2, sound_host, texts
from tests.unit.helpers.suite_runs import ROOT

RT = "ASCEND_RT_VISIBLE_DEVICES"


def npus(host: Host, cann: Cann | None = None) -> list[str]:
    """Findings about NPUs."""
    return texts(npu_area(host, cann, npus_of(host)))


def test_a_sound_machine(tmp_path: Path) -> None:
    """Facts and no findings."""
    host = sound_host(tmp_path)
    area = npu_area(host, None, npus_of(host))

    assert texts(area) == []
    assert area.facts == {
        "device files": "/dev/davinci0, /dev/davinci1",
        "for engines": "/dev/davinci0, /dev/davinci1",
        "torch_npu": "is_available() True, device_count() 2, asked in a process of its own",
        "NPU 0": "910B3, OK, 60.7 of 64.0 GiB free",
        "NPU 1": "910B3, OK, 60.6 of 64.0 GiB free",
    }


def test_devices_that_are_there_and_not_seen(tmp_path: Path) -> None:
    """As on BitCPM4-CANN-1B's machine: the variable names ids that the container counts otherwise."""
    host = sound_host(tmp_path, environment={RT: "4"}, torch_npu=lambda: Answer(available=True, count=0))
    area = npu_area(host, None, npus_of(host))

    named, counted = area.sorted_findings
    assert named.found.startswith(f"{RT}=4 names 4, but 2 devices are here")
    assert named.remedy == f"`unset {RT}`, or choose from 0,1"
    assert counted.found.startswith(f"torch_npu: device_count() is 0 with {RT}=4")
    assert area.facts[RT] == "4"


def test_the_documented_output_is_printed(tmp_path: Path) -> None:
    """Line by line, but for what is left out."""
    host = sound_host(tmp_path, environment={RT: "4"}, torch_npu=lambda: Answer(available=True, count=0))
    for number in (0, 1):
        (host.dev / f"davinci{number}").rename(host.dev / f"davinci{number + 4}")
    printed = Diagnosis("x", (npu_area(host, None, None),)).lines()

    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    shown = text[text.index("    NPUs\n") : text.index("\n| area |")].splitlines()
    assert [line for line in shown if line.strip() not in ("", "…") and line.removeprefix("    ") not in printed] == []


def test_npus_that_no_engine_gets_are_only_facts(tmp_path: Path) -> None:
    """However unhealthy and busy."""
    here = {"npu_smi": lambda: A2, "torch_npu": lambda: Answer(available=True, count=1)}
    host = sound_host(tmp_path, environment={RT: "0"}, **here)
    area = npu_area(host, None, npus_of(host))

    assert texts(area) == []
    assert area.facts["for engines"] == "/dev/davinci0"
    assert area.facts["NPU 1"] == "910B3, Alarm, 1.0 of 64.0 GiB free"
    assert npus(sound_host(tmp_path, environment={RT: "1"}, **here)) == [
        "error: NPU 1: health Alarm",
        "warning: NPU 1: 1.0 of 64.0 GiB free",
    ]


def test_torch_npu_is_not_asked_where_there_is_no_device(tmp_path: Path) -> None:
    """Importing it takes seconds; and nothing is said of ids where there is no device."""

    def ask() -> Answer:
        raise AssertionError

    host = sound_host(tmp_path, environment={RT: "4"}, torch_npu=ask)
    for file in host.dev.iterdir():
        file.unlink()

    assert npus(host) == ["error: no /dev/davinci<N>"]
    assert npu_area(host, None, None).facts["device files"] == "none"


@pytest.mark.parametrize("missing", ["davinci_manager", "devmm_svm", "hisi_hdc"])
def test_device_files_that_a_container_lacks(tmp_path: Path, missing: str) -> None:
    """Beside the NPUs' own."""
    host = sound_host(tmp_path)
    (host.dev / missing).unlink()

    assert npus(host) == [f"error: no /dev/{missing} beside /dev/davinci*"]


def test_device_files_that_this_user_may_not_open(tmp_path: Path) -> None:
    """By name."""
    host = sound_host(tmp_path, may_open=lambda path: path.name != "davinci1")

    assert npus(host) == ["error: this user may not open /dev/davinci1"]


def test_cann_of_another_user(tmp_path: Path) -> None:
    """A warning of torch_npu that does no harm."""
    cann = Cann(tmp_path, "9.1.0", "ASCEND_HOME_PATH", (tmp_path,))
    uid = tmp_path.stat().st_uid

    assert npus(sound_host(tmp_path), cann) == []
    assert npus(sound_host(tmp_path, uid=uid + 1), cann) == [
        f"note: {tmp_path} belongs to uid {uid}, this is uid {uid + 1}: torch_npu will warn that its owner does not "
        "match the current owner"
    ]
