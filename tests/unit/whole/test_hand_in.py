"""A hand-in of a run on a real engine: it follows from its data and from the weights, and its programs run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from npu_conformance.commands.hand_in.data import LARGEST
from npu_conformance.commands.hand_in.deliver import deliver
from npu_conformance.commands.hand_in.published import DATA
from npu_conformance.commands.hand_in.verify import Weights, checked
from npu_conformance.machine.storage import link_or_copy
from tests.unit.helpers.suite_runs import MODEL, ROOT, Outcome, clean_environment

pytestmark = pytest.mark.engine

PROMPTS = 3
"""That inference.py asks, and of which the reference is computed again."""


@pytest.fixture(scope="module")
def hand_in(main_run: Outcome, main_reports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the main run."""
    assert main_run.status == 0, main_run.output
    output = tmp_path_factory.mktemp("made") / "out"
    deliver(MODEL, output, (main_reports / "latest").resolve(), ROOT / "model_configs", None)
    return output


def test_it_follows_from_its_data_and_from_the_weights(hand_in: Path) -> None:
    """The reference says the same again, over token ids that the tokenizer gives."""
    found = list(checked(hand_in, Weights(None, PROMPTS, seed=7)))

    assert [one for one in found if one.status == "does not follow"] == []
    follow = [one.what for one in found if one.status == "follows"]
    assert len([what for what in follow if what.startswith("reference: ")]) == PROMPTS
    assert {"weights of the reference", "prompt token ids"} <= set(follow)
    assert (hand_in / DATA).stat().st_size < LARGEST


def test_inference_runs_as_it_is(hand_in: Path, twin: Path, tmp_path: Path) -> None:
    """With vLLM and nothing of the suite; it gives the tokens of the run."""
    link_or_copy(hand_in / "inference.py", tmp_path / "inference.py")
    done = subprocess.run(
        [sys.executable, "inference.py", "--model", str(twin), "--gpu-memory-utilization", "0.3"],
        cwd=tmp_path,
        env=clean_environment(VLLM_CPU_KVCACHE_SPACE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0", PYTHONPATH=""),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    assert [one["same"] for one in said[:-1]] == [True] * PROMPTS
    assert said[-1]["subject"] == "twin"
