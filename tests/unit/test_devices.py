"""How many devices there are, told from files and variables."""

import os
from pathlib import Path

import pytest

from npu_conformance.devices import Platform, cpu_binding, find_devices


@pytest.mark.parametrize(
    ("files", "visible", "wanted", "expected"),
    [
        (["davinci0", "davinci1", "davinci_manager"], None, None, ("npu", 2)),
        (["davinci0", "davinci1"], "1", None, ("npu", 1)),
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
    for name in files:
        (tmp_path / name).touch()
    for variable in ("ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    if visible is not None:
        monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", visible)

    assert find_devices(wanted, tmp_path) == expected


def test_a_cpu_has_its_cores(tmp_path: Path) -> None:
    """Each can run a rank."""
    cores = len(os.sched_getaffinity(0))

    assert find_devices(None, tmp_path) == find_devices("cpu", tmp_path) == ("cpu", cores)
    assert len(cpu_binding(1)["VLLM_CPU_OMP_THREADS_BIND"].split("|")) == 1
