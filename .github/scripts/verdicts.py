"""Prints all models' verdicts of a night as one table; exit status 1 unless each of them was judged and holds.

    python3 .github/scripts/verdicts.py FOLDER >> "$GITHUB_STEP_SUMMARY"

FOLDER holds a folder a model, the merged artifacts `report-<Model>`. In the environment, MATRIX is what
`npu-conformance dev matrix` printed, RESULT is how the models' jobs ended. It needs Python's standard library alone.
"""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

HOLDS = ("pass", "inconclusive")
"""Verdicts with which pytest exits with 0, and something was judged."""
_LONGEST = 300


class Row(NamedTuple):
    """A model's line."""

    model: str
    npus: int
    verdict: str
    checks: str
    why: str

    def __str__(self) -> str:
        """As Markdown."""
        why = " ".join(self.why.split()).replace("|", "\\|")
        return f"| {self.model} | {self.npus} | {self.verdict} | {self.checks} | {why[:_LONGEST]} |"


def row(entry: dict[str, object], folder: Path) -> Row:
    """What came of a model's job."""
    model, npus = str(entry["model"]), int(str(entry["npus"]))
    path = folder / model / "latest" / "report.json"
    if not path.is_file():
        return Row(model, npus, "no report", "", "the run ended before anything was judged: see the job's log")
    found = [one for one in json.loads(path.read_text(encoding="utf-8"))["models"] if one["name"] == model]
    if not found:
        return Row(model, npus, "no report", "", "its report is of other models")
    if found[0]["subject"] != "real":
        return Row(model, npus, "no report", "", "its report is of a stand-in")
    verdict, checks = found[0]["verdict"], found[0]["checks"]
    each = [check["verdict"] for check in checks]
    tally = ", ".join(f"{each.count(name)} {name}" for name in dict.fromkeys(each))
    worst = next((check for check in checks if check["verdict"] == verdict and verdict != "pass"), None)
    why = "" if worst is None else f"{worst['variant']}: {worst['metric']} {worst['where'] or worst['message'] or ''}"
    return Row(model, npus, verdict, tally, why)


def main(folder: Path) -> int:
    """Print the table; 0 when all is well."""
    rows = [row(entry, folder) for entry in json.loads(os.environ["MATRIX"])["include"]]
    bad = [one.model for one in rows if one.verdict not in HOLDS]
    print(
        "## Verdicts\n",
        "| model | NPUs | verdict | checks | first reason |",
        "| --- | --- | --- | --- | --- |",
        sep="\n",
    )
    print(*rows, sep="\n")
    if bad or not rows:
        print(f"not judged, or does not hold: {', '.join(bad) or 'no model at all'}", file=sys.stderr)
        return 1
    if os.environ["RESULT"] != "success":
        told = "every report holds, but a job did not end well: see the log of the one that is red"
        print(f"\n{told}")
        print(told, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main(Path(sys.argv[1])))
