"""The suite run in a process of its own, as its users run it, and what came of it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MODEL = "Qwen3Guard-Gen-4B"
JUDGED_TWICE = f"{MODEL}-base or {MODEL}-as_served"
"""What `-k` selects the variants with that every model is judged in."""
PYTEST_SETTINGS = {"CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "COLUMNS", "FORCE_COLOR", "PY_COLORS"}


@dataclass(frozen=True)
class Outcome:
    """A finished pytest run."""

    status: int
    output: str
    report: dict[str, Any]
    folder: Path
    """Of the run."""

    def model(self, name: str = MODEL) -> dict[str, Any]:
        """A model's part of the report."""
        found: dict[str, Any] = next(model for model in self.report["models"] if model["name"] == name)
        return found

    def verdicts(self, name: str = MODEL) -> dict[str, set[str]]:
        """The verdicts of each check, over variants and metrics."""
        found: dict[str, set[str]] = {}
        for check in self.model(name)["checks"]:
            found.setdefault(check["check"], set()).add(check["verdict"])
        return found

    def failing(self, name: str = MODEL) -> set[str]:
        """Checks that say fail."""
        return {check for check, verdicts in self.verdicts(name).items() if "fail" in verdicts}


def clean_environment(**changes: str) -> dict[str, str]:
    """This process's environment without what changes pytest's own output: it prints more under a CI system.

    hypothesis is left out: its plugin is imported at the end of every run, for a second or two.
    """
    kept = {name: value for name, value in os.environ.items() if name not in PYTEST_SETTINGS}
    return kept | {"PYTEST_ADDOPTS": "-p no:hypothesispytest"} | changes


def command(reports: Path, *words: str) -> list[str]:
    """The suite's command line with its reports elsewhere."""
    base = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", f"reports={reports}"]
    return [*base, *words]


def judge(reports: Path, *words: str, **environment: str) -> Outcome:
    """Run the suite to its end, with variables added to its environment."""
    result = subprocess.run(
        command(reports, *words),
        cwd=ROOT,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=1800,
    )
    return outcome(result.returncode, result.stdout + result.stderr, reports)


def outcome(status: int, output: str, reports: Path) -> Outcome:
    """A run's exit status, text and newest report."""
    path = reports / "latest" / "report.json"
    assert path.is_file(), output
    return Outcome(status, output, json.loads(path.read_text(encoding="utf-8")), path.resolve().parent)


def changed_config(twin: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a twin's checkpoint with other values in its config."""
    shutil.copytree(twin, folder)
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        for part in (content, content.get("rope_parameters") or {}):
            if key in part:
                part[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder
