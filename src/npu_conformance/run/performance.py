"""Measures the speed of a model's engine as it is served, after its precision, and leaves one record of it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from npu_conformance.config.engines import engine
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.performance import Workload
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import ConformanceError
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.settings import Settings
from npu_conformance.traces.performance import Bench, Figure, Performance, save_performance
from npu_conformance.traces.reading import read_saved
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.job import BenchJob
from npu_conformance.workers.server import READY

# `vllm bench latency` draws token ids below this, whatever the vocabulary is.
_LATENCY_IDS = 10_000
TOOLS = ("latency", "throughput", "serve")
"""Of vLLM, each with an engine of its own."""
_BENCH = TypeAdapter(Bench)


def workload_of(config: ModelConfig, settings: Settings) -> Workload | None:
    """What the engine is to be asked for its speed; None where nobody wants to know, or it is not vLLM."""
    if not engine(settings.engine_of(config)).serve_options:
        return None
    if config.performance is not None:
        return config.performance.workload
    return Workload() if settings.performance else None


def measure(run: ModelRun, config: ModelConfig, settings: Settings, workload: Workload) -> None:
    """Run each tool, go on after one that fails, and write the record beside the traces.

    Args:
        run: what makes the model's traces; that of `as_served` is there.
        config: of the model.
        settings: the command line's.
        workload: what the engine is asked.
    """
    made_by = load_trace(run.traces / "as_served" / "candidate").provenance
    load = os.getloadavg()[0]
    tools: dict[str, Bench] = {}
    failed: dict[str, str] = {}
    adapted = bool(settings.candidate_adapter or run.prepared.adapter)
    without = left_out(run.prepared.candidate.text_config, workload, adapted=adapted, scores=settings.scores)
    for tool, measured in _jobs(run, config, settings, workload).items():
        if tool not in without:
            output = run.traces.parent.parent / "performance" / run.traces.name / f"{tool}.json"
            try:
                measured(output)
                tools[tool] = read_saved(output, _BENCH)
            except ConformanceError as error:
                failed[tool] = str(error)
    found = Performance(
        workload=workload,
        device=str(made_by.get("device", "—")),
        versions=dict(made_by.get("versions", {})),
        load=round(load, 2),
        tools=_with_ratio(tools),
        not_measured=without,
        failed=failed,
    )
    save_performance(run.traces, found)


def left_out(checkpoint: Mapping[str, Any], workload: Workload, *, adapted: bool, scores: bool) -> dict[str, str]:
    """Tools that say nothing of this model, or are not wanted, and why.

    Args:
        checkpoint: config.json of the language model that the engine loads.
        workload: what it is asked.
        adapted: whether it is served with a LoRA.
        scores: whether a reference is computed in this run.
    """
    words = checkpoint.get("vocab_size")
    found = {}
    if adapted:
        found["latency"] = "vllm bench latency asks without the LoRA that the model is served with"
    elif isinstance(words, int) and words < _LATENCY_IDS:
        found["latency"] = f"vllm bench latency draws token ids below {_LATENCY_IDS:,}, this vocabulary has {words:,}"
    if not workload.reference_tokens:
        found["reference"] = "performance.reference_tokens is 0"
    elif not scores:
        found["reference"] = "no reference is computed in this run"
    return found


def _jobs(
    run: ModelRun, config: ModelConfig, settings: Settings, workload: Workload
) -> dict[str, Callable[[Path], None]]:
    """What leaves the file of each tool."""
    prompts = load_rendered(run.traces / "rendered.json").prompt_ids
    # Of as many tokens as the engine's, from the run's own prompts.
    text = [token for prompt in prompts for token in prompt]
    prompt = tuple((text * -(-workload.input_tokens // len(text)))[: workload.input_tokens])
    engines = {tool: _Tool(run, config, settings, workload, tool) for tool in TOOLS}
    return {
        **engines,
        "reference": lambda output: run.references.speed(prompt, workload.reference_tokens, output),
    }


@dataclass(frozen=True)
class _Tool:
    """One of vLLM's own tools."""

    run: ModelRun
    config: ModelConfig
    settings: Settings
    workload: Workload
    name: str

    def __call__(self, output: Path) -> None:
        """Leave its file."""
        candidates = self.run.candidates
        deadline = self.settings.deadline_for(self.config)
        served = candidates.job("as_served").model_dump(exclude={"kind", "output"})
        job = BenchJob(**served, output=output, tool=self.name, workload=self.workload, ready=max(READY, deadline / 2))
        name = f"{self.run.traces.name} vllm bench {self.name}"
        candidates.run(job, name, [job.options], deadline, self.config.changed_envs("as_served"))


def _with_ratio(tools: dict[str, Bench]) -> dict[str, Bench]:
    """Tools, the reference's with how many times its time per token the engine's goes into."""
    if "reference" not in tools or "serve" not in tools:
        return tools
    theirs, mine = tools["reference"].figures["reference_tpot_ms"], tools["serve"].figures["single_tpot_p50_ms"]
    if not mine.value:
        return tools
    ratio = Figure(value=theirs.value / mine.value, n=theirs.n)
    figures = {**tools["reference"].figures, "speed_over_reference": ratio}
    return {**tools, "reference": tools["reference"].model_copy(update={"figures": figures})}
