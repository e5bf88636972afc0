"""What is wrong with the devices a process sees, told from variables, device files and what torch_npu says.

What each rests on stands in `devices`. The case of a published adaptation, `ASCEND_RT_VISIBLE_DEVICES=4` on a machine
with two devices, is_available() true and device_count() 0, comes out of torch_npu's own counting: 4 is not below 2, so
nothing is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.devices import POOL_VARIABLE, visible_ids, visible_variable

_VARIABLE = visible_variable("npu")
_FILES = "/dev/davinci*"
_TORCH = "torch_npu"


@dataclass(frozen=True)
class TorchNpu:
    """What torch_npu says, asked in a process of its own."""

    is_available: bool
    device_count: int


def visibility(environment: Mapping[str, str], files: Sequence[str], torch_npu: TorchNpu | None) -> list[Finding]:
    """Findings about an NPU machine's devices, errors first.

    Args:
        environment: of the process that starts engines, and in which torch_npu was asked.
        files: names of the devices' files (see `device_files`).
        torch_npu: what it says; None where it was not asked.
    """
    value = environment.get(_VARIABLE)
    findings = [*_variable(value, files), *_device_files(files)]
    if torch_npu is not None:
        findings += _counted(value, files, torch_npu, findings)
    levels = ("error", "suspicion", "warning", "note")
    return sorted(findings, key=lambda finding: levels.index(finding.level))


def _variable(value: str | None, files: Sequence[str]) -> list[Finding]:
    if value is None:
        return []
    about = f"{_VARIABLE}={value}"
    ids = [int(one) for one in visible_ids("npu", value)]
    if not value:
        return [Finding("error", about, f"is set and empty, which hides every device: unset {_VARIABLE}")]
    if not ids:
        return [Finding("error", about, f"begins with no id, so no device is visible: {_advice(files)}")]
    findings = []
    if (read := ",".join(map(str, ids))) != value:
        message = f"is read as {read}, up to the first character that is no digit and no comma: write no spaces"
        findings.append(Finding("error", about, message))
    if sorted(set(ids)) != ids:
        message = (
            f"ids must ascend and be there once, else no device is visible: {','.join(map(str, sorted(set(ids))))}"
        )
        findings.append(Finding("error", about, message))
    if files and (beyond := [one for one in ids if one >= len(files)]):
        findings.append(Finding("error", about, _beyond(beyond, ids, files)))
    return findings


def _beyond(beyond: Sequence[int], ids: Sequence[int], files: Sequence[str]) -> str:
    there = f"{len(files)} device{'s are' if files[1:] else ' is'} here ({', '.join(files)})"
    what = f"names {', '.join(map(str, beyond))}, {there}: ids are positions among them, 0 to {len(files) - 1}"
    if {f"davinci{one}" for one in beyond} <= set(files):
        what += ", and not the numbers of their files, which are the host's (physical ids)"
    seen = ids.index(beyond[0])
    return f"{what}; counting stops at {beyond[0]}, so {seen or 'none'} can be used: {_advice(files)}"


def _advice(files: Sequence[str]) -> str:
    some = ",".join(str(position) for position in range(len(files)))
    return f"unset {_VARIABLE}" + (f", or choose from {some}" if files else "")


def _device_files(files: Sequence[str]) -> list[Finding]:
    if not files:
        message = (
            "no device file: load the driver, or start the container with --device /dev/davinci<N> for each device"
        )
        return [Finding("error", _FILES, message)]
    if files == [f"davinci{position}" for position in range(len(files))]:
        return []
    places = ", ".join(f"{file} is {position}" for position, file in enumerate(files))
    message = (
        f"their numbers are the host's: in {_VARIABLE} and {POOL_VARIABLE} {places}. Where the runtime wants the "
        f"host's all the same (device_count() tells), set {_VARIABLE} to them"
    )
    return [Finding("note", _FILES, message)]


def _counted(value: str | None, files: Sequence[str], torch_npu: TorchNpu, known: Sequence[Finding]) -> list[Finding]:
    count = torch_npu.device_count
    blamed = any(finding.level == "error" for finding in known)
    why = "see the errors above" if blamed else _unexplained(value)
    if not count:
        said = f"is_available() is {torch_npu.is_available}, device_count() is 0"
        if torch_npu.is_available:
            said += (
                ": only the count says what an engine can use. In torch_npu 2.9 and 2.10 the first follows from the "
                f"second, so either {_VARIABLE} was changed between the two, or the first only says that the package "
                "is there"
            )
        return [Finding("error", _TORCH, f"{said}; {why}")]
    expected = len(files) if value is None else len(visible_ids("npu", value))
    if count < expected:
        what = f"{len(files)} device files" if value is None else f"{_VARIABLE}={value}"
        return [Finding("error", _TORCH, f"device_count() is {count}, with {what}; {why}")]
    return []


def _unexplained(value: str | None) -> str:
    unset = "" if value is None else f"try without {_VARIABLE}; "
    return (
        f"{unset}check that this user may open {_FILES} and /dev/davinci_manager, that CANN's set_env.sh was sourced "
        "(a login shell does it in Ascend's images), and that no other container holds the devices (npu-smi info)"
    )
