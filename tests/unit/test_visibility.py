"""What is told of devices that a process does not see, without any device."""

import pytest

from npu_conformance.doctor.visibility import TorchNpu, visibility

TWO = ["davinci0", "davinci1"]
LATER = ["davinci4", "davinci5"]
RT = "ASCEND_RT_VISIBLE_DEVICES"


def told(value: str | None, files: list[str], torch_npu: TorchNpu | None = None) -> list[tuple[str, str]]:
    """Level and text of each finding."""
    environment = {} if value is None else {RT: value}
    return [(finding.level, str(finding)) for finding in visibility(environment, files, torch_npu)]


@pytest.mark.parametrize(
    ("value", "files", "torch_npu"),
    [
        (None, TWO, None),
        (None, TWO, TorchNpu(True, 2)),
        ("1", TWO, TorchNpu(True, 1)),
        ("0,1", TWO, TorchNpu(True, 2)),
    ],
)
def test_nothing_to_say(value: str | None, files: list[str], torch_npu: TorchNpu | None) -> None:
    """Of a machine whose devices are seen."""
    assert told(value, files, torch_npu) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is set and empty, which hides every device: unset ASCEND_RT_VISIBLE_DEVICES"),
        ("all", "begins with no id, so no device is visible: unset ASCEND_RT_VISIBLE_DEVICES, or choose from 0,1"),
        ("0, 1", "is read as 0, up to the first character that is no digit and no comma: write no spaces"),
        ("1,0", "ids must ascend and be there once, else no device is visible: 0,1"),
        ("1,1", "ids must ascend and be there once, else no device is visible: 1"),
        (
            "1,2",
            "names 2, 2 devices are here (davinci0, davinci1): ids are positions among them, 0 to 1; counting stops at "
            "2, so 1 can be used: unset ASCEND_RT_VISIBLE_DEVICES, or choose from 0,1",
        ),
    ],
)
def test_a_variable_that_hides_devices(value: str, message: str) -> None:
    """One error, with what to do."""
    assert told(value, TWO) == [("error", f"{RT}={value}: {message}")]


def test_a_container_numbers_its_devices_anew() -> None:
    """The files keep the host's numbers, which are no ids there."""
    (level, note), *more = told(None, LATER, TorchNpu(True, 2))

    assert (level, more) == ("note", [])
    assert "davinci4 is 0, davinci5 is 1" in note


def test_the_numbers_of_files_are_named_as_such() -> None:
    """When somebody takes them for ids."""
    (level, error), (second, _) = told("4,5", LATER)

    assert (level, second) == ("error", "note")
    assert "not the numbers of their files, which are the host's (physical ids)" in error
    assert "counting stops at 4, so none can be used" in error


@pytest.mark.parametrize("files", [TWO, LATER])
def test_available_without_a_device(files: list[str]) -> None:
    """As published: is_available() true, device_count() 0, with the variable on 4 and two devices."""
    errors = [text for level, text in told("4", files, TorchNpu(True, 0)) if level == "error"]

    assert len(errors) == 2
    assert errors[0].startswith(f"{RT}=4: names 4, 2 devices are here")
    assert f"unset {RT}, or choose from 0,1" in errors[0]
    assert errors[1].startswith("torch_npu: is_available() is True, device_count() is 0: only the count says")
    assert errors[1].endswith("see the errors above")


@pytest.mark.parametrize("value", [None, "0,1"])
def test_devices_that_do_not_answer(value: str | None) -> None:
    """Where no variable is to blame."""
    ((level, error),) = told(value, TWO, TorchNpu(False, 0))

    assert level == "error"
    assert "is_available() is False, device_count() is 0; " in error
    assert "set_env.sh" in error
    assert (f"try without {RT}" in error) == (value is not None)


@pytest.mark.parametrize(("value", "what"), [(None, "2 device files"), ("0,1", f"{RT}=0,1")])
def test_fewer_devices_than_there_should_be(value: str | None, what: str) -> None:
    """One of them is held by another, or broken."""
    ((level, error),) = told(value, TWO, TorchNpu(True, 1))

    assert (level, error.startswith(f"torch_npu: device_count() is 1, with {what}; ")) == ("error", True)


def test_no_device_files() -> None:
    """A container that was given none."""
    ((level, error),) = told(None, [])

    assert level == "error"
    assert "no device file: load the driver" in error
