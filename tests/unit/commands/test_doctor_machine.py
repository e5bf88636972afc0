"""What doctor finds of a machine's memory and disks."""

from pathlib import Path

from npu_conformance.commands.doctor.machine import machine_area
from npu_conformance.machine.capacity import GIB
from tests.unit.helpers.doctor_hosts import sound_host, texts


def test_a_machine_with_too_little(tmp_path: Path) -> None:
    """Memory, and disks by what they are for."""
    small = sound_host(tmp_path, memory=lambda: GIB, disk=lambda folder: GIB if folder.name == "cache" else 9 * GIB)
    area = machine_area(small)

    assert texts(area) == [
        "warning: 1.0 GiB of memory are free",
        f"warning: 1.0 GiB are free in {small.cache}",
    ]
    assert area.facts["platform"] == "npu, 2 devices"


def test_a_machine_with_enough(tmp_path: Path) -> None:
    """Nothing to find."""
    assert texts(machine_area(sound_host(tmp_path, device="cpu"))) == []


def test_threads_are_told_with_what_is_set_for_engines(tmp_path: Path) -> None:
    """References compute on all cores they may, whatever the image sets."""
    host = sound_host(tmp_path)
    assert machine_area(host).facts["threads"] == "192 for references and what reads weights"

    facts = machine_area(sound_host(tmp_path, environment={"OMP_NUM_THREADS": "1"})).facts
    assert facts["threads"] == "192 for references and what reads weights; OMP_NUM_THREADS=1 is left to engines"


def test_a_platform_that_is_insisted_on_and_is_not_here(tmp_path: Path) -> None:
    """Of NPUs another area says it."""
    area = machine_area(sound_host(tmp_path, device="cuda"))

    assert texts(area) == ["error: no /dev/nvidia<N>"]
    assert area.facts["platform"] == "cuda, 0 devices"
    (tmp_path / "dev" / "nvidia0").touch()
    assert texts(machine_area(sound_host(tmp_path, device="cuda"))) == []
