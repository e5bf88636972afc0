"""Which NPUs there are, and which of them torch_npu sees: collected without initialising one in this process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.checkpoints.checkpoint import Finding as CheckpointFinding
from npu_conformance.doctor.findings import LEVEL_OF, Finding
from npu_conformance.doctor.visibility import TorchNpu, visibility
from npu_conformance.engines.known_failures import find_known

VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
_TIMEOUT = 120
_QUESTION = "import json, torch, torch_npu; print(json.dumps([torch.npu.is_available(), torch.npu.device_count()]))"
# Beside /dev/davinci<N>; installation.html of vllm-ascend passes them to every container.
_MANAGERS = ("davinci_manager", "devmm_svm", "hisi_hdc")


@dataclass(frozen=True)
class Answer:
    """What torch_npu said in a process of its own."""

    available: bool | None = None
    """`torch.npu.is_available()`; None where it did not come that far, or was not asked."""
    count: int | None = None
    """`torch.npu.device_count()`."""
    problem: str = ""
    """Why it did not come that far."""


@dataclass(frozen=True)
class Visibility:
    """What decides which NPUs an engine sees."""

    variables: Mapping[str, str]
    """Those of the environment that narrow them."""
    numbers: tuple[int, ...]
    """N of each /dev/davinci<N>."""
    missing: tuple[str, ...]
    """Other device files that a container lacks."""
    closed: tuple[int, ...]
    """N of those that this user may not open."""
    answer: Answer


def ask_torch_npu() -> Answer:
    """Ask in a short-lived process: where this one initialised an NPU, no engine could use it any more."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _QUESTION], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return Answer(problem=f"torch_npu did not answer within {_TIMEOUT} s")
    return read_answer(done.returncode, done.stdout, done.stderr)


def read_answer(status: int, output: str, errors: str) -> Answer:
    """The answer that a process printed on its last line, or why there is none."""
    lines = output.strip().splitlines()
    if status == 0 and lines:
        available, count = json.loads(lines[-1])
        return Answer(bool(available), int(count))
    said = [line.strip() for line in errors.strip().splitlines() if line.strip()] or [f"exit status {status}"]
    known = find_known(errors)
    return Answer(problem=said[-1] + ("" if known is None else f" ({known})"))


def collect_visibility(
    environment: Mapping[str, str],
    dev: Path,
    ask: Callable[[], Answer],
    may_open: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK),
) -> Visibility:
    """All that decides which NPUs an engine sees.

    Args:
        environment: variables of the process that will start engines.
        dev: folder of device files.
        ask: asks torch_npu; called only where there are device files.
        may_open: whether this user may open a device file.
    """
    files = {int(found[1]): path for path in dev.iterdir() if (found := re.fullmatch(r"davinci(\d+)", path.name))}
    return Visibility(
        variables={name: environment[name] for name in (VISIBLE, "ASCEND_VISIBLE_DEVICES") if name in environment},
        numbers=tuple(sorted(files)),
        missing=tuple(name for name in _MANAGERS if not (dev / name).exists()) if files else (),
        closed=tuple(number for number, path in sorted(files.items()) if not may_open(path)),
        answer=ask() if files else Answer(),
    )


def visibility_facts(seen: Visibility) -> dict[str, str]:
    """The same in words."""
    facts = {"device files": ", ".join(f"/dev/davinci{number}" for number in seen.numbers) or "none", **seen.variables}
    if seen.answer.count is not None:
        said = f"is_available() {seen.answer.available}, device_count() {seen.answer.count}"
        facts["torch_npu"] = f"{said}, asked in a process of its own"
    return facts


def visibility_findings(seen: Visibility) -> list[Finding]:
    """What stands between an engine and its NPUs."""
    findings = []
    if seen.missing:
        remedy = "pass them into the container with `--device`"
        found = f"no {', '.join(f'/dev/{name}' for name in seen.missing)} beside /dev/davinci*"
        findings.append(Finding("error", found, "all of them, or no NPU can be opened", remedy))
    if seen.closed:
        names = ", ".join(f"/dev/davinci{number}" for number in seen.closed)
        remedy = "add this user to the group that owns them (as a rule HwHiAiUser), or run as root"
        findings.append(Finding("error", f"this user may not open {names}", "read and write access", remedy))
    if seen.answer.problem:
        remedy = f'run `{Path(sys.executable).name} -c "import torch_npu"` and mend what it says'
        findings.append(Finding("error", f"torch_npu: {seen.answer.problem}", "torch_npu to load", remedy))
    return [*findings, *(_told(finding) for finding in _of_ids(seen))]


def _of_ids(seen: Visibility) -> list[CheckpointFinding]:
    """What variables, device files and torch_npu's count say together; nothing where there is no NPU at all."""
    if not seen.numbers:
        return []
    answer = seen.answer
    counted = None if answer.count is None else TorchNpu(bool(answer.available), answer.count)
    return visibility(seen.variables, [f"davinci{number}" for number in seen.numbers], counted)


def _told(finding: CheckpointFinding) -> Finding:
    level = LEVEL_OF[finding.level]
    remedy = "as the message says" if level != "note" else "nothing, if it is meant so"
    return Finding(level, str(finding), "each NPU that is chosen, or all, to be seen by torch_npu", remedy)
