"""How a command and a failure are put to a person."""

import pytest

from npu_conformance.report.messages import failure_text, typed
from npu_conformance.report.terminal import WIDTH
from tests.unit.helpers.finished_reports import (
    failed,
)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/usr/lib/python3/site-packages/pytest/__main__.py", "--twin"], "python -m pytest --twin"),
        ([".venv/bin/pytest", "-k", "a or b"], "pytest -k 'a or b'"),
        (["/x/npu_conformance/__main__.py", "doctor"], "python -m npu_conformance doctor"),
    ],
)
def test_a_command_is_told_as_it_can_be_typed(argv: list[str], command: str) -> None:
    """Not as the path of a file in pytest."""
    assert typed(argv) == command


def test_a_failures_text_fits_the_screen() -> None:
    """Its long parts are wrapped between words; the command stays on one line, to be copied."""
    words = " ".join(f"word{place}" for place in range(60))
    lines = failure_text("It holds.", [failed("drift", where=words, message=words)], "pytest " + "x" * 120).splitlines()

    assert all(len(line) <= WIDTH for line in lines[:-1])
    assert " ".join(" ".join(lines).split()).count(words) == 2
    assert lines[-1].endswith("x" * 120)
