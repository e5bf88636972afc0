"""What a process may take of its machine, read from made-up trees of control groups."""

import os
from pathlib import Path

import psutil
import pytest

from npu_conformance.machine.capacity import computes_in, cores, free_memory, killed_for_memory, threads

GIB = 2**30
UNLIMITED = str(2**63 - 4096)
"""What version 1 says where there is no limit."""


def tree(root: Path, own: str, **files: str) -> Path:
    """`/proc/self/cgroup` and files under `/sys/fs/cgroup`, whose folders are written with `__` for `/`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path = path.with_name(path.name.replace("_DOT_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with 500 GiB and 64 cores."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 500 * GIB})())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def version_1(limit: str, used: int, folder: str) -> dict[str, str]:
    """A group's memory, a third of which is files' pages that the kernel can give back."""
    return {
        f"{folder}__memory_DOT_limit_in_bytes": limit,
        f"{folder}__memory_DOT_usage_in_bytes": str(used),
        f"{folder}__memory_DOT_stat": f"inactive_file 0\ntotal_inactive_file {used // 3}",
    }


V1_LINES = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n"


@pytest.mark.parametrize("folder", ["memory", "memory__docker", "memory__docker__abc"])
def test_a_limit_of_version_1_at_any_height(tmp_path: Path, folder: str) -> None:
    """At the top, as a container sees its own group; at its own; and at one between, which limits it as well."""
    files = version_1(UNLIMITED, 30 * GIB, "memory") | version_1(str(96 * GIB), 30 * GIB, folder)
    (tmp_path / "sys/fs/cgroup/memory/docker/abc").mkdir(parents=True)

    assert free_memory(tree(tmp_path, V1_LINES, **files)) == 76 * GIB


def test_without_a_limit_the_machine_decides(tmp_path: Path) -> None:
    """Version 1 writes a number no machine has, and another group's limit is none of ours."""
    files = version_1(UNLIMITED, 30 * GIB, "memory") | version_1(str(GIB), GIB, "memory__docker__another")

    assert free_memory(tree(tmp_path, V1_LINES, **files)) == 500 * GIB
    assert free_memory(tmp_path / "no such machine") == 500 * GIB


@pytest.mark.parametrize(("line", "folder"), [("0::/", ""), ("0::/pods/one", "pods__one__"), ("0::/../x", "")])
def test_version_2(tmp_path: Path, line: str, folder: str) -> None:
    """The same in one tree, where no limit is `max`; a path that leads out of what is shown means the top."""
    files = {f"{folder}memory_DOT_max": str(8 * GIB), f"{folder}memory_DOT_current": str(5 * GIB)}
    files |= {f"{folder}memory_DOT_stat": f"anon 1\ninactive_file {GIB}", f"{folder}cpu_DOT_max": "350000 100000"}
    root = tree(tmp_path, f"{line}\n", **files)

    assert (free_memory(root), cores(root)) == (4 * GIB, 3)


def test_a_group_that_is_over_its_limit_has_nothing_free(tmp_path: Path) -> None:
    """And not less than nothing."""
    files = {"memory_DOT_max": "10", "memory_DOT_current": "20"}

    assert free_memory(tree(tmp_path, "0::/\n", **files)) == 0


@pytest.mark.parametrize(
    ("quota", "expected"), [("-1", 64), ("1600000", 16), ("150000", 1), ("50000", 1), ("9900000", 64)]
)
def test_a_pods_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    """In whole cores, one at least, and never more than there are."""
    files = {"cpu,cpuacct__cpu_DOT_cfs_quota_us": quota, "cpu,cpuacct__cpu_DOT_cfs_period_us": "100000"}

    assert cores(tree(tmp_path, V1_LINES, **files)) == expected


def test_a_quota_above_ones_own_group_counts(tmp_path: Path) -> None:
    """That of a pod limits each of its containers; the smallest of all decides."""
    files = {"pod__cpu_DOT_max": "400000 100000", "pod__one__cpu_DOT_max": "max 100000"}

    assert cores(tree(tmp_path, "0::/pod/one\n", **files)) == 4


def test_affinity_decides_where_there_is_no_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `taskset` and cpusets narrow it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})

    assert cores(tmp_path) == 2


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/one", {"memory_DOT_events": "oom 9\noom_kill 9", "one__memory_DOT_events": "oom 1\noom_kill 3"}),
        ("9:memory:/", {"memory__memory_DOT_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3"}),
    ],
)
def test_who_was_killed_for_memory(tmp_path: Path, line: str, files: dict[str, str]) -> None:
    """In this process's own group, by either version."""
    assert killed_for_memory(tree(tmp_path, f"{line}\n", **files)) == 3
    assert killed_for_memory(tmp_path / "no such machine") == 0


def test_threads_are_told_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascend's images say one, for engines."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("npu_conformance.machine.capacity.cores", lambda: 24)

    assert threads() == {"OMP_NUM_THREADS": "24", "OPENBLAS_NUM_THREADS": "24", "MKL_NUM_THREADS": "24"}


@pytest.mark.parametrize(
    ("line", "halves"),
    [
        ("Features\t: fp asimd evtstrm aes fphp asimdhp asimddp sha512 asimdfhm", {"float16"}),  # Kunpeng 920
        ("Features\t: fp asimd asimdhp sve i8mm bf16 dgh", {"bfloat16", "float16"}),
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", {"bfloat16"}),
        ("flags\t\t: fpu avx512f avx512_fp16 amx_bf16", {"bfloat16", "float16"}),
        ("flags\t\t: fpu avx512f avx512_vnni", set()),
    ],
)
def test_which_processors_compute_in_16_bits(tmp_path: Path, line: str, halves: set[str]) -> None:
    """By the words of /proc/cpuinfo; all have float32."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\n{line}\n")

    asked = ("float32", "bfloat16", "float16")
    assert {dtype for dtype in asked if computes_in(dtype, tmp_path)} == {"float32", *halves}
