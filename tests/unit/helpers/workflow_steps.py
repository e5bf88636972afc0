"""Workflow files as data, and their shell steps run on this machine as they stand.

    python -m tests.unit.helpers.workflow_steps .github/workflows/cpu.yml [JOB …]

runs the shell steps of a workflow's jobs in the current folder, one after another. Steps that use an action are named
and left out, conditions other than `always()` are refused.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ALWAYS = "${{ always() }}"
# What GitHub makes of a step's `shell`; without one it takes bash, and minds no pipe.
_SHELLS = {"": "bash -e {0}", "bash": "bash --noprofile --norc -eo pipefail {0}"}


@dataclass(frozen=True)
class Step:
    """A step of a job."""

    name: str
    condition: str
    uses: str
    options: dict[str, str]
    """Of the action it uses."""
    run: str
    shell: str
    environment: dict[str, str]
    """The workflow's, the job's and its own."""

    def command(self, script: Path) -> list[str]:
        """The command line that runs the step's script."""
        return [word.replace("{0}", str(script)) for word in _SHELLS.get(self.shell, self.shell).split()]


def load(path: Path) -> dict[str, Any]:
    """A workflow as it is written: all its scalars are texts, so that `on` is no truth value."""
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 (texts)
    return content


def steps(workflow: dict[str, Any], job: str) -> list[Step]:
    """The steps of a job."""
    own = workflow["jobs"][job]
    shell = own.get("defaults", {}).get("run", {}).get("shell", "")
    return [
        Step(
            name=step.get("name", step.get("uses", "")),
            condition=step.get("if", ""),
            uses=step.get("uses", ""),
            options=step.get("with", {}),
            run=step.get("run", ""),
            shell=step.get("shell", shell),
            environment={**workflow.get("env", {}), **own.get("env", {}), **step.get("env", {})},
        )
        for step in own["steps"]
    ]


def run_step(
    step: Step, folder: Path, environment: dict[str, str], *, capture: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run a step's script.

    Args:
        step: with a script.
        folder: to run it in.
        environment: this machine's, and what stands for expressions of the step's own.
        capture: keep its output instead of showing it.

    Raises:
        ValueError: nothing was given for an expression.
    """
    own = {name: value for name, value in step.environment.items() if name not in environment or "${{" not in value}
    if unknown := [name for name, value in own.items() if "${{" in value]:
        told = f"{step.name}: {', '.join(unknown)}: an expression, give its value"
        raise ValueError(told)
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "script.sh"
        script.write_text(step.run, encoding="utf-8")
        command = step.command(script)
        return subprocess.run(command, cwd=folder, env=environment | own, capture_output=capture, text=True)


def main(path: Path, jobs: list[str]) -> int:
    """Run a workflow's jobs; 0 when every step ended well."""
    workflow = load(path)
    status = 0
    with tempfile.TemporaryDirectory() as scratch:
        summary = Path(scratch) / "summary.md"
        environment = {**os.environ, "CI": "true", "GITHUB_STEP_SUMMARY": str(summary), "RUNNER_TEMP": scratch}
        for job in jobs or list(workflow["jobs"]):
            failed = False
            for step in steps(workflow, job):
                if step.uses:
                    print(f"== {job}: {step.name}: left out, it uses {step.uses}", flush=True)
                elif step.condition not in ("", ALWAYS):
                    print(f"== {job}: {step.name}: cannot tell whether {step.condition}", flush=True)
                    return 2
                elif not failed or step.condition == ALWAYS:
                    print(f"== {job}: {step.name}", flush=True)
                    ended = run_step(step, Path.cwd(), environment, capture=False).returncode
                    print(f"== {job}: {step.name}: exit status {ended}", flush=True)
                    failed = failed or ended != 0
            status = status or int(failed)
        if summary.is_file():
            print(f"== summary: {summary.stat().st_size} bytes")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
