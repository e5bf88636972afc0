"""What is wrong with the devices a process sees, concluded from variables, device files and what torch_npu says.

What each rests on stands in `npu_conformance.machine.devices`. The case of a published adaptation, two devices and
`ASCEND_RT_VISIBLE_DEVICES=4`, is_available() true and device_count() 0, comes out of torch_npu's own counting: 4 is not
below 2, so nothing is counted.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from npu_conformance.commands.doctor.findings import Finding
from npu_conformance.commands.doctor.torch_npu import Answer
from npu_conformance.machine.devices import POOL_VARIABLE, visible_ids, visible_variable

VARIABLE = visible_variable("npu")


def visibility(environment: Mapping[str, str], files: Sequence[str], answer: Answer) -> list[Finding]:
    """Findings about the devices of a machine that has some.

    Args:
        environment: of the process that starts engines, and in which torch_npu was asked.
        files: names of the devices' files (see `device_files`).
        answer: torch_npu's.
    """
    value = environment.get(VARIABLE)
    findings = _ids(value, files, answer)
    return [*findings, *_answered(value, files, answer, findings)]


def _ids(value: str | None, files: Sequence[str], answer: Answer) -> list[Finding]:
    """Which device an id means, and which ids mean none."""
    if value is None:
        return _numbering(files)
    ids = [int(one) for one in visible_ids("npu", value)]
    findings = _written(value, ids, files)
    if beyond := [one for one in ids if one >= len(files)]:
        hosts = {f"davinci{one}" for one in ids} <= set(files)
        if hosts and answer.count == len(ids):
            return [*findings, _hosts_numbers(value, files, len(ids))]
        findings.append(_beyond(value, beyond[0], ids, files))
    return [*findings, *_numbering(files)]


def _hosts_numbers(value: str, files: Sequence[str], count: int) -> Finding:
    """As the device plugins of some clusters set them."""
    return Finding(
        "note",
        f"{VARIABLE}={value} has the host's numbers, those of the device files, and torch_npu counts {count} with it",
        f"positions, {_range(files)}, by the documents; this runtime takes the host's numbers",
        f"nothing; {POOL_VARIABLE} takes the same numbers here",
    )


def _written(value: str, ids: Sequence[int], files: Sequence[str]) -> list[Finding]:
    """How the variable is written."""
    about, expected = f"{VARIABLE}={value}", "ids that ascend, each once, with commas alone between them"
    if not value:
        found = f"{VARIABLE} is set and empty, which hides every device"
        return [Finding("error", found, "ids, or no variable", _advice(files))]
    if not ids:
        return [Finding("error", f"{about} begins with no id, so no device is visible", expected, _advice(files))]
    findings = []
    if (read := ",".join(map(str, ids))) != value:
        found = f"{about} is read as {read}, up to the first character that is no digit and no comma"
        findings.append(Finding("error", found, expected, "write no spaces and no other signs"))
    if (ascending := sorted(set(ids))) != ids:
        found = f"{about}: ids do not ascend, so no device is visible"
        findings.append(Finding("error", found, expected, f"`export {VARIABLE}={','.join(map(str, ascending))}`"))
    return findings


def _beyond(value: str, first: int, ids: Sequence[int], files: Sequence[str]) -> Finding:
    there = f"{len(files)} device{'s are' if files[1:] else ' is'} here ({', '.join(files)})"
    seen = ids.index(first)
    found = f"{VARIABLE}={value} names {first}, but {there}: counting stops at {first}, so {seen or 'none'} can be used"
    expected = f"ids {_range(files)}, positions among the devices here and not the numbers of their files"
    return Finding("error", found, expected, _advice(files))


def _range(files: Sequence[str]) -> str:
    return f"0 to {len(files) - 1}" if files[1:] else "0"


def _advice(files: Sequence[str]) -> str:
    return f"`unset {VARIABLE}`, or choose from {','.join(str(position) for position in range(len(files)))}"


def _numbering(files: Sequence[str]) -> list[Finding]:
    if files == [f"davinci{position}" for position in range(len(files))]:
        return []
    places = ", ".join(f"{file} is {position}" for position, file in enumerate(files))
    found = f"device files have the host's numbers: {', '.join(files)}"
    remedy = (
        "nothing; where the runtime wants the host's numbers all the same (device_count() shows it), set "
        f"{VARIABLE} to them"
    )
    return [Finding("note", found, f"in {VARIABLE} and {POOL_VARIABLE} positions: {places}", remedy)]


def _answered(value: str | None, files: Sequence[str], answer: Answer, known: Sequence[Finding]) -> list[Finding]:
    """What torch_npu says, against what it should."""
    if answer.problem:
        remedy = f'run `{Path(sys.executable).name} -c "import torch_npu"` and correct what it says'
        return [Finding("error", f"torch_npu: {answer.problem}", "torch_npu to load", remedy)]
    expected = len(files) if value is None else len(visible_ids("npu", value))
    # A variable that hides every device, and says so above, is no reason to find 0 right.
    if answer.count is None or 0 < answer.count >= expected:
        return []
    found = f"torch_npu: device_count() is {answer.count} with "
    found += f"{len(files)} device files" if value is None else f"{VARIABLE}={value}"
    if answer.available and not answer.count:
        # In torch_npu 2.9 and 2.10 is_available() follows from the count, so either the variable was changed between
        # the two, or is_available() only says that the package is there.
        found += ", though is_available() is True: only the count says what an engine can use"
    blamed = any(finding.level == "error" for finding in known)
    remedy = f"correct {VARIABLE} first, see its own finding" if blamed else _unexplained(value)
    return [Finding("error", found, f"{max(expected, 1)} of the {len(files)} NPUs", remedy)]


def _unexplained(value: str | None) -> str:
    unset = "" if value is None else f"try without {VARIABLE}; "
    return (
        f"{unset}check that this user may open /dev/davinci* and /dev/davinci_manager, that CANN's set_env.sh was "
        "sourced (a login shell does it in Ascend's images), and that no other container holds the devices "
        "(`npu-smi info`)"
    )
