"""Writes docs/known-failures.md from the tables of failures and warnings: `python -m tools.known_failures`."""

from collections.abc import Iterable
from pathlib import Path

from npu_conformance.workers.known_failures import KNOWN
from npu_conformance.workers.log import WARNINGS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "known-failures.md"
_HEAD = """\
# Known failures and warnings

Made from [known_failures.yaml](../src/npu_conformance/workers/known_failures.yaml) and
[known_warnings.yaml](../src/npu_conformance/workers/known_warnings.yaml) by `python -m tools.known_failures`. A new row
needs a source, and a line of the log as it was met in `tests/unit/workers/`. A number after # is an issue of
vllm-project/vllm-ascend.

## Failures

When a job fails, the last MiB of its log is searched for these. The failing test's text and the report name the first
specific one, and a general one only if there is no other.

"""
_MIDDLE = """\

## Warnings

When an engine has answered, its own part of the log is searched for these, line by line. They stand in the report under
"The engine's log". Those that begin with **fails** mean that another model ran than the checkpoint holds: the check
`engine_log` fails. An engine behind a server leaves no log here, and the check is `not_applicable`.

"""


def page() -> str:
    """The page."""
    failures = ((f"general: {one.meaning}" if one.general else one.meaning, one.remedy, one.source) for one in KNOWN)
    warnings = (
        (f"{'**fails**: ' if one.fails else ''}{one.meaning}", one.remedy, one.source) for one in WARNINGS.values()
    )
    return _HEAD + _table(failures) + _MIDDLE + _table(warnings)


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| meaning | what to do | source |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
