"""Collecting the tests, which imports no engine, against what an engine's import alone would cost."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench.timing import Row, race

_ROOT = Path(__file__).resolve().parents[1]
_TORCH = "python -c 'import torch'"


def measure() -> list[Row]:
    """Race `pytest --collect-only -q` against importing torch and against Python itself."""
    contenders = {
        "pytest --collect-only -q": [str(Path(sys.executable).with_name("pytest")), "--collect-only", "-q"],
        _TORCH: [sys.executable, "-c", "import torch"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    return race(
        "collection",
        "all tests",
        {name: partial(_run, command) for name, command in contenders.items()},
        of=_TORCH,
    )


def _run(command: list[str]) -> None:
    # As after the first time in any checkout: from compiled modules.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=_ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
