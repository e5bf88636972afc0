"""A run that is killed at any moment leaves nothing half-written, and the next one is green."""

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.unit.helpers.half_written import half_written
from tests.unit.helpers.suite_runs import MODEL, ROOT, clean_environment, command, outcome
from tests.unit.workers.test_kills import wait_for

MOMENTS = 20
pytestmark = [pytest.mark.engine, pytest.mark.slow]


def all_gone(processes: list[psutil.Process]) -> bool | None:
    """True once none of them runs."""
    left = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    return None if left else True


@pytest.fixture
def cache(twin: Path, tmp_path: Path) -> Path:
    """A cache of its own, with the twin."""
    folder = tmp_path / "cache"
    shutil.copytree(twin, folder / "twins" / twin.name)
    return folder


def test_a_run_killed_at_random_moments(cache: Path, tmp_path: Path) -> None:
    """Twenty times with SIGKILL, at any time between its start and its end."""
    seed = int(time.time())
    rng, reports, environment = (
        np.random.default_rng(seed),
        tmp_path / "reports",
        clean_environment(NPU_CONFORMANCE_CACHE=str(cache)),
    )
    judged = command(reports, "--twin", "-k", f"{MODEL}-base")
    creating = [*judged, "--baseline=create"]

    def green() -> None:
        """The next run, on what the last one left."""
        current = list(cache.glob("twins/baselines/*/*"))
        words = judged if current else creating
        run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        found = outcome(run.returncode, run.stdout, reports)
        assert (found.status, found.model()["verdict"]) == (0, "pass"), run.stdout
        assert found.verdicts()["regression"] == {"pass" if current else "not_applicable"}
        assert list(cache.glob("twins/baselines/*/*"))

    started = time.monotonic()
    green()
    whole = time.monotonic() - started
    for moment in sorted(rng.uniform(0, whole, MOMENTS)):
        for place in ("references", "scans", "twins/baselines"):
            shutil.rmtree(cache / place, ignore_errors=True)
        running = subprocess.Popen(
            creating, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        time.sleep(moment)
        children = psutil.Process(running.pid).children(recursive=True)
        running.kill()
        running.wait()
        # Its workers end with it.
        wait_for(partial(all_gone, children))
        assert half_written(cache) == [], f"seed {seed}, killed after {moment:.2f} s"
        assert half_written(reports) == [], f"seed {seed}, killed after {moment:.2f} s"
        green()
