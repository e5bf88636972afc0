"""All reports of a saved run, in both languages, against reading report.json alone: `python -m bench.reports DIR`."""

import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.timing import Row, race

_ROOT = Path(__file__).resolve().parents[1]
WHAT = "reports of a run"
RENDER = "npu-conformance report"
MOST = 20.0
"""Seconds that all of them may take."""
_READ = "reading report.json"
_LOAD = (
    "import sys, pathlib; from npu_conformance.report.model import load_report; load_report(pathlib.Path(sys.argv[1]))"
)


def measure(folder: Path | None = None) -> list[Row]:
    """Race the two, in a process each; over the newest of the runs with the most models where none is named."""
    source = folder or _fullest(_ROOT / "reports")
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(source / "report.json", name)
        commands = {
            RENDER: [sys.executable, "-m", "npu_conformance", "report", name],
            _READ: [sys.executable, "-c", _LOAD, name],
        }
        contenders = {label: partial(_run, command) for label, command in commands.items()}
        return race(WHAT, f"{_models(source / 'report.json')} models", contenders, of=_READ)


def _fullest(reports: Path) -> Path:
    found = [path.parent for path in sorted(reports.glob("*/report.json")) if not path.parent.is_symlink()]
    if not found:
        raise SystemExit(f"no saved run in {reports}: run `make conformance` first")
    return max(reversed(found), key=lambda path: _models(path / "report.json"))


def _models(path: Path) -> int:
    return sum(bool(model["variants"]) for model in json.loads(path.read_bytes())["models"])


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for row in measure(Path(sys.argv[1])):
        print(f"{row.contender}, {row.size}: {row.seconds:.1f} s (others took {row.others:.0%} of the processors)")
