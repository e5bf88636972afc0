"""A stand-in for GitHub's runner: what a workflow's shell steps find around them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.helpers.suite_runs import ROOT, clean_environment
from tests.unit.helpers.workflow_steps import Step, run_step, steps

NOTES = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done > "$NOTES"\nexit "${STATUS:-0}"\n'
"""A program that notes the words it is called with."""


def step_of(workflow: dict[str, Any], job: str, name: str) -> Step:
    """A step by its name."""
    (found,) = [step for step in steps(workflow, job) if step.name == name]
    return found


class Runner:
    """A machine to run steps on: its own home, programs of its own first, and the files that GitHub gives."""

    def __init__(self, folder: Path) -> None:
        self.home, self.programs, self.folder = folder / "home", folder / "bin", folder / "checkout"
        for path in (self.home, self.programs, self.folder, folder / "temp"):
            path.mkdir()
        self.output, self.summary, self.notes = (folder / name for name in ("output", "summary.md", "notes"))
        # What a login shell reads: /etc/profile may have set another PATH before.
        programs = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        (self.home / ".profile").write_text(f"export PATH='{programs}'\n")
        self.environment = clean_environment(
            HOME=str(self.home),
            PATH=programs,
            GITHUB_OUTPUT=str(self.output),
            GITHUB_STEP_SUMMARY=str(self.summary),
            RUNNER_TEMP=str(folder / "temp"),
            NOTES=str(self.notes),
        )

    def program(self, name: str, text: str = NOTES) -> None:
        """Put a program first on PATH; by default one that notes its words, a line each."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(self, step: Step, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a step in the checkout."""
        return run_step(step, self.folder, self.environment | environment)

    def check_out(self) -> Path:
        """Put into the checkout what the steps need of this one."""
        for name in (".github", "model_configs", "src", "tests/conformance"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).symlink_to(ROOT / name)
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, self.folder / name)
        return self.folder


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A machine with an empty checkout."""
    return Runner(tmp_path)


@pytest.fixture
def checkout(runner: Runner) -> Path:
    """Its checkout, no longer empty."""
    return runner.check_out()
