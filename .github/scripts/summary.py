"""Prints a report for a job's summary: without pictures, which cannot be shown there, and no longer than GitHub takes.

    python .github/scripts/summary.py reports/latest/report.md >> "$GITHUB_STEP_SUMMARY"

It needs Python's standard library alone.
"""

import sys
from pathlib import Path

LIMIT = 1024 * 1024
"""Bytes of one step's summary; GitHub drops a longer one as a whole."""
_NOTE = "\n\n**Cut here: GitHub shows no more. The whole report is among the run's artifacts.**\n"
_MISSING = "## No report\n\nThe run ended before anything was judged: see the job's log.\n"


def summary(report: Path) -> str:
    """The Markdown to show, of a report that may not be there."""
    if not report.is_file():
        return _MISSING
    lines = report.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("!["))
    if len(text.encode()) <= LIMIT:
        return text
    kept = text.encode()[: LIMIT - len(_NOTE.encode())].decode(errors="ignore")
    return kept[: kept.rfind("\n")] + _NOTE


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(summary(Path(sys.argv[1])))
