"""Which devices there are, and which of them may be lent, told from files and variables."""

import os
from pathlib import Path

import pytest

from npu_conformance.errors import ConfigError
from npu_conformance.machine import devices
from npu_conformance.machine.devices import (
    POOL_VARIABLE,
    Device,
    Platform,
    cpu_binding,
    device_files,
    find_devices,
    host_cores,
    lendable,
    narrowed,
    visible_ids,
)

RT, CUDA = "ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine says."""
    for variable in (RT, CUDA, POOL_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def dev(folder: Path, *names: str) -> Path:
    """A folder of device files."""
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "visible", "wanted", "expected"),
    [
        (["davinci0", "davinci1", "davinci_manager"], None, None, ("npu", 2)),
        (["davinci0", "davinci1"], "1", None, ("npu", 1)),
        (["vdavinci100", "vdavinci116", "davinci_manager"], None, None, ("npu", 2)),
        (["davinci0", "vdavinci100", "vdavinci101"], None, None, ("npu", 1)),
        (["davinci0", "nvidia0"], None, "cuda", ("cuda", 1)),
        (["nvidia0", "nvidiactl"], None, None, ("cuda", 1)),
        ([], None, "npu", ("npu", 0)),
        (["davinci0"], "", "npu", ("npu", 0)),
    ],
)
def test_device_files_are_counted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    visible: str | None,
    wanted: Platform | None,
    expected: tuple[str, int],
) -> None:
    """Without a driver: the process that collects tests must not hold a device."""
    if visible is not None:
        monkeypatch.setenv(RT, visible)

    assert find_devices(wanted, dev(tmp_path, *files)) == expected


@pytest.mark.parametrize(
    ("allowed", "worker", "ranks", "bound", "computing"),
    [
        ({0, 1}, None, 1, None, None),
        ({0, 1}, None, 2, "0|1", None),
        ({3}, None, 1, "3", "1"),
        ({0, 1}, "gw0 of 1", 1, None, None),
        ({0, 1}, "gw0 of 2", 1, "0", "1"),
        ({0, 1}, "gw1 of 2", 1, "1", "1"),
        ({0, 1}, "gw1 of 2", 2, "1|0", None),
        ({0, 1}, "gw2 of 2", 1, "0", "1"),
        ({0, 1}, "gw3 of 4", 1, "1", "1"),
        (set(range(8, 16)), "gw1 of 4", 1, "10,11", "2"),
        (set(range(8, 16)), "gw3 of 4", 4, "14|15|8|9", None),
    ],
)
def test_engines_of_several_workers_have_cores_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
    allowed: set[int],
    worker: str | None,
    ranks: int,
    bound: str | None,
    computing: str | None,
) -> None:
    """Left alone, each of them would compute on all."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    for variable in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(variable, raising=False)
    if worker is not None:
        name, count = worker.split(" of ")
        monkeypatch.setenv("PYTEST_XDIST_WORKER", name)
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", count)

    environment = cpu_binding(ranks)
    assert environment.get("VLLM_CPU_OMP_THREADS_BIND") == bound
    assert environment.get("OMP_NUM_THREADS") == computing


def test_an_engine_keeps_to_its_containers_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads on all 64 cores would share the time of four, and a variant of more ranks than that cannot run."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(devices, "cores", lambda: 4)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)

    assert cpu_binding(1)["VLLM_CPU_OMP_THREADS_BIND"] == "0,1,2,3"
    assert cpu_binding(1)["OMP_NUM_THREADS"] == "4"
    assert find_devices("cpu") == ("cpu", 4)


@pytest.mark.parametrize(
    ("own", "workers", "platform", "expected"),
    [
        (2, 1, "cpu", 2),
        (2, 2, "cpu", 1),
        (2, 4, "cpu", 1),
        (16, 4, "cpu", 4),
        (192, 8, "npu", 185),
        (4, 8, "npu", 1),
    ],
)
def test_the_host_computes_on_cores_that_no_engine_has(
    monkeypatch: pytest.MonkeyPatch, own: int, workers: int, platform: str, expected: int
) -> None:
    """On an accelerator an engine of another worker keeps one busy."""
    monkeypatch.setattr(devices, "cores", lambda: own)
    monkeypatch.setattr(devices, "find_devices", lambda wanted: (wanted or platform, 8))
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", str(workers))

    assert host_cores() == expected


def test_engines_that_are_insisted_to_run_on_the_cpu_take_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine with NPUs: `--device cpu` with two workers leaves each half."""
    monkeypatch.setattr(devices, "cores", lambda: 16)
    monkeypatch.setattr(devices, "device_files", lambda *_: ["davinci0"])
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")

    assert host_cores("cpu") == 8
    assert host_cores() == 15


def test_a_cpu_has_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each can run a rank; they are not lent, whatever the pool is told."""
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setenv(POOL_VARIABLE, "0-7")

    assert find_devices(None, tmp_path) == find_devices("cpu", tmp_path) == ("cpu", cores)
    assert lendable("cpu", tmp_path) == ()


def test_files_go_by_number(tmp_path: Path) -> None:
    """Ten is after two."""
    assert device_files("npu", dev(tmp_path, "davinci10", "davinci2", "davinci_manager")) == ["davinci2", "davinci10"]


@pytest.mark.parametrize(
    ("platform", "value", "ids"),
    [
        ("npu", "0,1,2", "0 1 2"),
        ("npu", "1, 2,3", "1"),
        ("npu", "1,,2", "1"),
        ("npu", "02", "2"),
        ("npu", " 1", ""),
        ("npu", "", ""),
        ("cuda", "1, 3", "1 3"),
        ("cuda", "0,-1,1", "0"),
        ("cuda", "GPU-8932f937-d72c,MIG-GPU-8932/1/0", "GPU-8932f937-d72c MIG-GPU-8932/1/0"),
    ],
)
def test_a_variable_is_read_as_the_runtime_reads_it(platform: Platform, value: str, ids: str) -> None:
    """Up to what it does not know: torch_npu's `_parse_visible_devices`."""
    assert visible_ids(platform, value) == ids.split()


def test_ids_are_positions_and_names_are_files(tmp_path: Path) -> None:
    """A container that was given two of its host's devices: another one that shares the locks has other ids."""
    folder = dev(tmp_path, "davinci4", "davinci6")

    assert lendable("npu", folder, {}) == (Device("0", "davinci4"), Device("1", "davinci6"))
    assert lendable("npu", folder, {RT: "1"}) == (Device("1", "davinci6"),)


def test_where_ids_are_no_positions_they_are_numbers_of_files(tmp_path: Path) -> None:
    """All of them, so that no two have a name in common."""
    folder = dev(tmp_path, "davinci1", "davinci3")

    assert lendable("npu", folder, {RT: "1,3"}) == (Device("1", "davinci1"), Device("3", "davinci3"))


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        ({}, "0 1 2 3"),
        ({POOL_VARIABLE: "1-2"}, "1 2"),
        ({POOL_VARIABLE: "3, 0-1"}, "0 1 3"),
        ({POOL_VARIABLE: ""}, "0 1 2 3"),
        ({RT: "3,1,1"}, "1 3"),
        ({RT: "1,2,3", POOL_VARIABLE: "2-3"}, "2 3"),
    ],
)
def test_what_may_be_lent(tmp_path: Path, variables: dict[str, str], ids: str) -> None:
    """What is visible, or what the pool was told; each once, ascending, as an NPU's runtime wants it."""
    folder = dev(tmp_path, *(f"davinci{number}" for number in range(4)))

    assert [device.id for device in lendable("npu", folder, variables)] == ids.split()


@pytest.mark.parametrize(
    ("files", "told", "expected"),
    [
        ("4567", "4-7", "0:davinci4 1:davinci5 2:davinci6 3:davinci7"),
        ("4567", "5,7", "1:davinci5 3:davinci7"),
        ("4567", "1,3", "1:davinci5 3:davinci7"),
        ("13", "1", "1:davinci3"),
        ("", "4-5", "4:davinci4 5:davinci5"),
    ],
)
def test_a_pool_is_told_in_positions_or_in_numbers_of_files(
    tmp_path: Path, files: str, told: str, expected: str
) -> None:
    """What an engine is told is a position: of 4 a runtime that has four devices makes none at all.

    A machine without device files has what it is told.
    """
    folder = dev(tmp_path, *(f"davinci{number}" for number in files))

    found = lendable("npu", folder, {POOL_VARIABLE: told})
    assert " ".join(f"{device.id}:{device.name}" for device in found) == expected


@pytest.mark.parametrize(
    ("files", "told", "wrong"),
    [
        ("0123", "4-7", "4, 5, 6, 7"),
        ("0123", "0-7", "4, 5, 6, 7"),
        ("0123", "4", "4"),
        ("4567", "0,5", "5"),
    ],
)
def test_a_pool_of_devices_that_are_not_there(tmp_path: Path, files: str, told: str, wrong: str) -> None:
    """Told at once; an engine would find no device and say nothing of the pool."""
    folder = dev(tmp_path, *(f"davinci{number}" for number in files))

    with pytest.raises(
        ConfigError, match=f"^{POOL_VARIABLE}={told}: {wrong} cannot be lent, there are davinci.*0 to 3"
    ):
        lendable("npu", folder, {POOL_VARIABLE: told})


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({POOL_VARIABLE: "0..3"}, r"NPU_CONFORMANCE_DEVICES=0\.\.3: '0\.\.3' is no id and no range: write it like 0-3"),
        ({POOL_VARIABLE: "0,,1"}, "'' is no id"),
        ({POOL_VARIABLE: "3-1"}, "'3-1' is no id"),
        ({POOL_VARIABLE: "0-3", RT: "2,3"}, "0, 1 cannot be lent, ASCEND_RT_VISIBLE_DEVICES=2,3 hides it"),
    ],
)
def test_a_pool_that_cannot_be(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    """One line that names the variable."""
    with pytest.raises(ConfigError, match=message):
        lendable("npu", tmp_path, variables)


def test_an_engine_sees_its_devices_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has all of them is left alone, for there the variable can only do harm."""
    folder = dev(tmp_path, "davinci4", "davinci5")
    both = lendable("npu", folder)

    assert narrowed("npu", both[1:], folder) == {RT: "1"}
    assert narrowed("npu", both, folder) == {}
    # As many as there are, but by other names: what they are the variable must say.
    uuids = [Device(f"GPU-{letter}", f"GPU-{letter}") for letter in "ab"]
    assert narrowed("cuda", uuids, dev(tmp_path, "nvidia0", "nvidia1")) == {CUDA: "GPU-a,GPU-b"}
    monkeypatch.setenv(RT, "1,0")
    assert narrowed("npu", lendable("npu", folder), folder) == {RT: "0,1"}
