"""npu-smi's table, and which chips of it matter to an engine."""

import pytest

from npu_conformance.commands.doctor.npu_health import npu_findings
from npu_conformance.machine.npu_smi import Npu, lent_npus, read_npu_smi
from tests.unit.helpers.doctor_hosts import A2, A3


def found(npus: list[Npu] | None, share: float | None = None) -> list[str]:
    """Level and text of each finding."""
    return [f"{one.level}: {one.found}" for one in npu_findings(npus, share)]


def test_the_table_is_read() -> None:
    """Chips with their memory, processes left out; the chips of a card kept apart."""
    assert read_npu_smi(A2) == [
        Npu("0", "910B3", "OK", 3401, 65536, "davinci0"),
        Npu("1", "910B3", "Alarm", 64465, 65536, "davinci1"),
    ]
    assert [(npu.number, npu.file) for npu in read_npu_smi(A3)] == [("1", "davinci2"), ("1.1", "davinci3")]
    assert read_npu_smi("something else\n") == []


def test_a_chip_without_figures_is_kept() -> None:
    """A broken one has none, and its health counts all the same."""
    npus = read_npu_smi(A2.replace("64465/ 65536", "   NA / NA   ").replace("0    / 0    ", "NA / NA      "))

    assert str(npus[1]) == "910B3, Alarm, memory not known"
    assert found(npus) == ["error: NPU 1: health Alarm"]


def test_unhealthy_and_busy_npus() -> None:
    """Held against what the model's engine wants."""
    assert found(read_npu_smi(A2)) == ["error: NPU 1: health Alarm", "warning: NPU 1: 1.0 of 64.0 GiB free"]
    assert found(read_npu_smi(A3)) == []
    assert found(read_npu_smi(A3), 0.99)[0] == "warning: NPU 1: 60.7 of 64.0 GiB free"
    assert found(None) == ["note: free device memory is not known"]


@pytest.mark.parametrize(
    ("health", "level"), [("OK", None), ("Warning", "warning"), ("Alarm", "error"), ("Critical", "error")]
)
def test_health(health: str, level: str | None) -> None:
    """A warning is no error."""
    assert found([Npu("0", "910B3", health, 0, 1)]) == ([f"{level}: NPU 0: health {health}"] if level else [])


def chips(*numbers: int) -> list[Npu]:
    """Chips by their files' numbers."""
    return [Npu(str(number), "910B3", "OK", 0, 1, f"davinci{number}") for number in numbers]


@pytest.mark.parametrize(
    ("listed", "files", "lent", "numbers"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3), (0, 2), ["0", "2"]),
        ((0, 3), (0, 1, 2, 3), (0,), ["0"]),
        ((0, 1, 4, 5), (4, 5), (5,), ["5"]),
        ((0, 1), (4, 5), (5,), ["1"]),
        ((0, 1), (1, 2), (1,), ["0"]),
        ((0, 1, 2), (4, 5), (5,), ["0", "1", "2"]),
    ],
)
def test_chips_that_engines_may_be_given(
    listed: tuple[int, ...], files: tuple[int, ...], lent: tuple[int, ...], numbers: list[str]
) -> None:
    """By their files' names; in the files' order where npu-smi numbers them anew; all where nothing says which."""
    names = [f"davinci{number}" for number in files]
    chosen = lent_npus(chips(*listed), names, [f"davinci{number}" for number in lent])

    assert [npu.number for npu in chosen] == numbers
