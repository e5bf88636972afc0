"""A real engine that a fault makes slower: its speed, by vLLM's own tool, fails against the clean engine's."""

import dataclasses
import os
from pathlib import Path

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.config.performance import Performance as Section
from npu_conformance.config.performance import Workload
from npu_conformance.traces.performance import Bench, Performance
from npu_conformance.workers.job import BenchJob
from npu_conformance.workers.supervise import run_job
from tests.unit.helpers.baseline_runs import baseline_of
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.suite_runs import ROOT

PLUGIN = Path(__file__).parent / "engine_faults"
WORKLOAD = Workload(input_tokens=16, output_tokens=32, requests=8)
SETTINGS = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
# Slow, for it times engines: what else the machine does is in it.
pytestmark = [pytest.mark.engine, pytest.mark.slow]


def measured(checkpoint: Path, folder: Path, fault: str) -> Performance:
    """What an eager engine of the twin gives, with a fault in all its processes."""
    folder.mkdir()
    job = BenchJob(
        output=folder / "throughput.json",
        engine="vllm",
        checkpoint=checkpoint,
        rendered=folder / "unread",
        options={"dtype": "bfloat16", "max_model_len": 256, "enforce_eager": True},
        max_tokens=48,
        tool="throughput",
        workload=WORKLOAD,
        ready=120,
    )
    faulty = {"PYTHONPATH": os.pathsep.join([str(PLUGIN), str(ROOT / "src")]), "ENGINE_FAULT": fault}
    run_job(job, name=f"speed, {fault}", workdir=folder, deadline=300, environment=SETTINGS | faulty)
    assert f"This engine has the fault {fault}" in (folder / "log.txt").read_text(encoding="utf-8")
    bench = Bench.model_validate_json(job.output.read_bytes())
    return Performance(workload=WORKLOAD, device="cpu", versions={}, tools={"throughput": bench})


def test_a_slow_engine_fails_and_an_unchanged_one_does_not(twin: Path, scene: Scene, tmp_path: Path) -> None:
    """By the same limit: 30 ms a step are many times what the twin's own steps take."""
    before, again, slow = (
        measured(twin, tmp_path / name, fault)
        for name, fault in (("before", "nothing"), ("again", "nothing"), ("slow", "slow"))
    )
    clean = scene.evidence()
    limits = Section(min_ratio={"throughput_tokens_per_s": 0.4})
    held = dataclasses.replace(
        clean,
        variant="as_served",
        config=clean.config.model_copy(update={"performance": limits}),
        baseline=baseline_of(clean, performance=before),
    )
    results = {
        name: {
            one.at: one for one in CHECKS["performance_regression"].judge(dataclasses.replace(held, performance=now))
        }
        for name, now in (("again", again), ("slow", slow))
    }

    assert results["again"]["speed:throughput_tokens_per_s"].verdict == "pass"
    assert results["slow"]["speed:throughput_tokens_per_s"].verdict == "fail"
    assert slow.figures["throughput_tokens_per_s"].value <= 8 * 32 / (0.03 * 32)
