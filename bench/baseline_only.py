"""A run judged by its baseline only against one that computes a reference, neither of which finds one in the cache."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.timing import Row, race
from npu_conformance.machine.storage import CACHE_VARIABLE, cache_dir

_ROOT = Path(__file__).resolve().parents[1]
_MODEL = "Qwen3Guard-Gen-4B"
_FULL = "with a reference"


def measure() -> list[Row]:
    """Race the two over base of a twin, each in a run of its own, everything but the twin made anew."""
    twins = sorted((cache_dir() / "twins").glob("qwen3-guard-*/twin.json"))
    if not twins:
        raise SystemExit(f"no twin of {_MODEL} in {cache_dir()}: run `make conformance` first")
    with tempfile.TemporaryDirectory() as name:
        cache, reports = Path(name) / "cache", Path(name) / "reports"
        (cache / "twins").mkdir(parents=True)
        for twin in twins:
            (cache / "twins" / twin.parent.name).symlink_to(twin.parent)
        _run(cache, reports, "--baseline=create")
        return race(
            "one run of base",
            f"twin of {_MODEL}",
            {
                _FULL: partial(_run, cache, reports),
                "--baseline=only": partial(_run, cache, reports, "--baseline=only"),
            },
            of=_FULL,
            clean_up=lambda: _forget(cache, reports),
        )


def _run(cache: Path, reports: Path, *words: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--twin",
        "-q",
        "-o",
        f"reports={reports}",
        "-k",
        f"{_MODEL}-base",
        *words,
    ]
    subprocess.run(command, cwd=_ROOT, env={**os.environ, CACHE_VARIABLE: str(cache)}, check=True, capture_output=True)


def _forget(cache: Path, reports: Path) -> None:
    for folder in (cache / "references", reports):
        shutil.rmtree(folder, ignore_errors=True)
