"""What is found of devices that a process does not see, without any device."""

import pytest

from npu_conformance.commands.doctor.torch_npu import Answer
from npu_conformance.commands.doctor.visibility import visibility

TWO = ["davinci0", "davinci1"]
LATER = ["davinci4", "davinci5"]
RT = "ASCEND_RT_VISIBLE_DEVICES"
CHOOSE = f"`unset {RT}`, or choose from 0,1"


def found(value: str | None, files: list[str], answer: Answer | None = None) -> list[tuple[str, str, str]]:
    """Level, text and remedy of each finding."""
    environment = {} if value is None else {RT: value}
    findings = visibility(environment, files, Answer() if answer is None else answer)
    assert all(finding.expected and finding.remedy for finding in findings)
    return [(finding.level, finding.found, finding.remedy) for finding in findings]


@pytest.mark.parametrize(
    ("value", "files", "answer"),
    [
        (None, TWO, None),
        (None, TWO, Answer(True, 2)),
        ("1", TWO, Answer(True, 1)),
        ("0,1", TWO, Answer(True, 2)),
    ],
)
def test_nothing_to_say(value: str | None, files: list[str], answer: Answer | None) -> None:
    """Of a machine whose devices are seen."""
    assert found(value, files, answer) == []


@pytest.mark.parametrize(
    ("value", "message", "remedy"),
    [
        ("", " is set and empty, which hides every device", CHOOSE),
        ("all", "=all begins with no id, so no device is visible", CHOOSE),
        (
            "0, 1",
            "=0, 1 is read as 0, up to the first character that is no digit and no comma",
            "write no spaces and no other signs",
        ),
        ("1,0", "=1,0: ids do not ascend, so no device is visible", f"`export {RT}=0,1`"),
        ("1,1", "=1,1: ids do not ascend, so no device is visible", f"`export {RT}=1`"),
        (
            "1,2",
            "=1,2 names 2, but 2 devices are here (davinci0, davinci1): counting stops at 2, so 1 can be used",
            CHOOSE,
        ),
    ],
)
def test_a_variable_that_hides_devices(value: str, message: str, remedy: str) -> None:
    """One error, and apart from it what to do."""
    assert found(value, TWO) == [("error", f"{RT}{message}", remedy)]


def test_a_container_numbers_its_devices_anew() -> None:
    """The files keep the host's numbers, which are no ids there."""
    (note,) = visibility({}, LATER, Answer(True, 2))

    assert (note.level, note.found) == ("note", "device files have the host's numbers: davinci4, davinci5")
    assert "davinci4 is 0, davinci5 is 1" in note.expected


@pytest.mark.parametrize("count", [None, 0, 1])
def test_the_numbers_of_files_are_no_ids(count: int | None) -> None:
    """When somebody takes them for ids, and torch_npu does not see them all."""
    (level, error, remedy), (note, *_), *counted = found("4,5", LATER, Answer(None if count is None else True, count))

    assert (level, note, remedy, len(counted)) == ("error", "note", CHOOSE, int(count is not None))
    assert error.endswith(
        "names 4, but 2 devices are here (davinci4, davinci5): counting stops at 4, so none can be used"
    )


@pytest.mark.parametrize(("value", "files"), [("4,5", LATER), ("5", LATER), ("1,2", ["davinci1", "davinci2"])])
def test_a_runtime_that_wants_the_hosts_numbers(value: str, files: list[str]) -> None:
    """As device plugins set them: torch_npu counts what the variable names, so nothing is wrong."""
    ((level, text, _),) = found(value, files, Answer(True, len(value.split(","))))

    assert level == "note"
    assert text.startswith(f"{RT}={value} has the host's numbers")


def test_numbers_of_no_file_are_wrong_however_they_are_counted() -> None:
    """A count alone excuses nothing."""
    assert found("4,6", LATER, Answer(True, 2))[0][0] == "error"


@pytest.mark.parametrize("files", [TWO, LATER])
def test_available_without_a_device(files: list[str]) -> None:
    """As published: is_available() true, device_count() 0, with the variable on 4 and two devices."""
    errors = [finding[1:] for finding in found("4", files, Answer(True, 0)) if finding[0] == "error"]

    (named, advice), (counted, remedy) = errors
    assert named.startswith(f"{RT}=4 names 4, but 2 devices are here")
    assert advice == CHOOSE
    assert counted == (
        f"torch_npu: device_count() is 0 with {RT}=4, though is_available() is True: only the count says what an "
        "engine can use"
    )
    assert remedy == f"correct {RT} first, see its own finding"


@pytest.mark.parametrize("value", [None, "0,1"])
def test_devices_that_do_not_answer(value: str | None) -> None:
    """Where no variable is to blame."""
    ((level, error, remedy),) = found(value, TWO, Answer(False, 0))

    assert level == "error"
    assert error.startswith("torch_npu: device_count() is 0 with ")
    assert "is_available" not in error
    assert "set_env.sh" in remedy
    assert (f"try without {RT}" in remedy) == (value is not None)


@pytest.mark.parametrize(("value", "what"), [(None, "2 device files"), ("0,1", f"{RT}=0,1")])
def test_fewer_devices_than_there_should_be(value: str | None, what: str) -> None:
    """One of them is held by another, or broken."""
    ((level, error, _),) = found(value, TWO, Answer(True, 1))

    assert (level, error) == ("error", f"torch_npu: device_count() is 1 with {what}")


def test_a_torch_npu_that_does_not_load() -> None:
    """What it said, and how to see more."""
    ((level, error, remedy),) = found(None, TWO, Answer(problem="ImportError: libhccl.so"))

    assert (level, error) == ("error", "torch_npu: ImportError: libhccl.so")
    assert '-c "import torch_npu"' in remedy
