"""Runs of four workers, eight devices and models that need one, two or four; some workers are killed in the middle."""

import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from npu_conformance.machine.devices import Device
from npu_conformance.machine.leases import LOCKS_VARIABLE, lease
from tests.unit.helpers.pretend_engines import DEVICES, MODELS, TESTS, make_project, pretend_run

POOL = [Device(str(number), f"davinci{number}") for number in range(DEVICES)]


@pytest.mark.parametrize(
    ("runs", "variants"), [(1, ("base",)), pytest.param(50, ("base", "as_served"), marks=pytest.mark.slow)]
)
def test_no_device_is_lent_twice_and_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int, variants: tuple[str, ...]
) -> None:
    """Nor does anything hang: every test is run, but those in whose middle their worker was killed."""
    first = random.SystemRandom().randrange(2**31)
    kills = waits = 0
    for seed in range(first, first + runs):
        project = make_project(tmp_path / str(seed))
        run = pretend_run(project, seed, "-k", " or ".join(variants))
        told = f"seed {seed}, {run.kills} kills\n{run.output}\n" + "\n".join(run.events)
        kills += run.kills
        waits += run.output.count("waits for")
        ended = f"{run.passed} passed, {run.failed} failed, {len(kinds := _kinds(run.events))} events"
        print(f"seed {seed}: {run.kills} kills, {ended}")

        assert run.status is not None, f"it hung: {told}"
        assert set(kinds) <= {"begin", "end"}, told
        # A test whose worker was killed fails, and is run again by another.
        assert run.passed == len(MODELS) * len(variants) * TESTS, told
        assert run.failed <= run.kills, told
        assert run.status == int(run.failed > 0), told
        assert kinds.count("end") >= len(MODELS) * len(variants), told
        monkeypatch.setenv(LOCKS_VARIABLE, str(project / "locks"))
        _take_all(told)
    print(f"{runs} runs, {kills} kills, {waits} waits")
    assert waits
    assert runs < 50 or kills > runs // 2


def _kinds(events: list[str]) -> list[str]:
    return [event.split('"')[1] for event in events]


def _take_all(told: str) -> None:
    """All devices at once, within the time a guard needs to end what a killed worker left."""
    until = time.monotonic() + 20

    def wait(text: str) -> None:
        assert time.monotonic() < until, f"{text}\n{told}"
        raise TimeoutError

    while True:
        with suppress(TimeoutError), lease(POOL, DEVICES, "all", wait) as lent:
            assert len(lent.devices) == DEVICES
            return
        time.sleep(0.1)
