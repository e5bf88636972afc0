"""A campaign of damaged inputs: nothing but the suite's own errors comes out, in bounded time and memory.

    NPU_CONFORMANCE_FUZZ_SECONDS=75 NPU_CONFORMANCE_FUZZ_SEED=1 .venv/bin/pytest -m slow -s tests/unit/whole -k fuzz

What it tried is in `reports/fuzz/KIND.json`: the seed, how many inputs, what came out. An input that breaks something
is kept beside it, with its traceback; the same seed makes it again.
"""

import os
import time
from pathlib import Path

import pytest

from npu_conformance.machine.storage import write_json
from tests.unit.helpers.fuzzed import KINDS, Kind
from tests.unit.helpers.fuzzing import Campaign
from tests.unit.helpers.suite_runs import ROOT

SECONDS = float(os.environ.get("NPU_CONFORMANCE_FUZZ_SECONDS", "75"))
SEED = int(os.environ.get("NPU_CONFORMANCE_FUZZ_SEED", str(time.time_ns() % 10**6)))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("cache")
def test_no_input_escapes(name: str, tmp_path: Path) -> None:
    """Of any kind, for as long as it is given."""
    campaign = Campaign(KINDS[name], name, SEED, tmp_path, ROOT / "reports" / "fuzz")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        campaign.attempt()

    write_json(ROOT / "reports" / "fuzz" / f"{name}.json", campaign.record)
    print(f"{name}: {campaign.line}")
    assert campaign.escaped == {}


@pytest.mark.parametrize("name", [name for name in KINDS if name != "quantised"])
@pytest.mark.usefixtures("cache")
def test_the_undamaged_input_is_taken(name: str, tmp_path: Path) -> None:
    """Else the campaign would only try how a reader begins; and a few damaged ones."""
    campaign = Campaign(KINDS[name], name, 1, tmp_path, tmp_path / "kept")
    campaign.attempt(damaged=False)
    assert campaign.record["refused"] == 0
    for _ in range(5):
        campaign.attempt()

    assert campaign.escaped == {}


def test_what_escapes_is_kept_with_its_input(tmp_path: Path) -> None:
    """Once for each place it comes out of; also what takes too long. The same seed damages the same way."""

    def drive(folder: Path, _rng: object) -> int:
        text = (folder / "a.json").read_bytes()
        if text != b'{"a": [1, 2]}':
            raise ZeroDivisionError(text)
        while True:
            pass

    kind = Kind(lambda folder: (folder / "a.json").write_text('{"a": [1, 2]}'), ("*.json",), drive)
    campaign = Campaign(kind, "own", 5, tmp_path / "a", tmp_path / "kept", seconds=0.2)
    campaign.attempt(damaged=False)
    for _ in range(10):
        campaign.attempt()

    assert {"TooLong at test_fuzz.py:drive", "ZeroDivisionError at test_fuzz.py:drive"} <= set(campaign.escaped)
    kept = Path(campaign.escaped["ZeroDivisionError at test_fuzz.py:drive"])
    assert "ZeroDivisionError" in (kept / "traceback.txt").read_text()
    again = Campaign(kind, "own", 5, tmp_path / "b", tmp_path / "again", seconds=0.2)
    again.attempt(damaged=False)
    for _ in range(10):
        again.attempt()
    assert (tmp_path / "again" / kept.name / "a.json").read_bytes() == (kept / "a.json").read_bytes()
