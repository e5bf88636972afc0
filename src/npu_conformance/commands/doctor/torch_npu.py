"""What torch_npu counts, asked in a process of its own: this one initialises no NPU."""

import re
import subprocess
import sys
from dataclasses import dataclass

from npu_conformance.workers.known_failures import find_known

_TIMEOUT = 120
# Libraries print lines of their own, also when the process ends.
_MARK = "npu-conformance asks:"
_QUESTION = (
    f"import torch, torch_npu; print('\\n{_MARK}', int(torch.npu.is_available()), torch.npu.device_count(), flush=True)"
)


@dataclass(frozen=True)
class Answer:
    """What torch_npu said."""

    available: bool | None = None
    """`torch.npu.is_available()`; None where it did not come that far, or was not asked."""
    count: int | None = None
    """`torch.npu.device_count()`."""
    problem: str = ""
    """Why it did not come that far."""


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
    """The answer among what a process printed, however it ended afterwards; or why there is none."""
    if (found := re.search(rf"^{_MARK} ([01]) (\d+)$", output, re.MULTILINE)) is not None:
        return Answer(found[1] == "1", int(found[2]))
    said = [line.strip() for line in errors.strip().splitlines() if line.strip()] or [f"exit status {status}"]
    known = find_known(errors)
    return Answer(problem=said[-1] + ("" if known is None else f" ({known})"))
