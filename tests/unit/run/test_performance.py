"""Which tools are run of a model, in which order, and what is kept where one fails."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.config.model import ModelConfig
from npu_conformance.config.performance import Workload
from npu_conformance.errors import JobError
from npu_conformance.run import performance
from npu_conformance.run.performance import measure, workload_of
from npu_conformance.run.settings import Settings
from npu_conformance.traces.performance import Bench, Figure, Performance, load_performance
from npu_conformance.workers.job import BenchJob, CandidateJob

Measured = Callable[..., Performance]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Measures a model whose jobs leave a figure each, but those that are to fail."""
    made_by = {"device": "Ascend910B", "versions": {"vllm": "0.26.0"}}
    monkeypatch.setattr(performance, "load_trace", lambda _: SimpleNamespace(provenance=made_by))
    monkeypatch.setattr(performance, "load_rendered", lambda _: SimpleNamespace(prompt_ids=((1, 2, 3), (4, 5))))
    traces = tmp_path / "traces" / "Model"
    traces.mkdir(parents=True)

    def leave(output: Path, name: str, value: float) -> None:
        output.parent.mkdir(parents=True, exist_ok=True)
        figures = {name: Figure(value=value, n=3)}
        output.write_text(Bench(figures=figures, command=("typed",)).model_dump_json(), encoding="utf-8")

    def run(
        *failing: str,
        words: int = 150_000,
        adapter: Path | None = None,
        workload: Workload | None = None,
        **settings: Any,
    ) -> Performance:
        def tool(job: BenchJob, name: str, options: list[dict[str, Any]], *_: object) -> None:
            asked.append(name)
            assert options == [{"dtype": "bfloat16", "max_model_len": 8192}]
            if job.tool in failing:
                raise JobError(f"{name}: no memory\nlast lines")
            figures = {
                "latency": "latency_p50_ms",
                "throughput": "throughput_tokens_per_s",
                "serve": "single_tpot_p50_ms",
            }
            leave(job.output, figures[job.tool], 20)

        def speed(prompt: tuple[int, ...], tokens: int, output: Path) -> None:
            asked.append(f"reference {prompt} {tokens}")
            leave(output, "reference_tpot_ms", 1500)

        asked: list[str] = []
        served = CandidateJob(
            output=traces / "as_served" / "candidate", engine="vllm", checkpoint=tmp_path, rendered=tmp_path,
            options={"dtype": "bfloat16", "max_model_len": 8192}, max_tokens=48,
        )  # fmt: skip
        candidate = SimpleNamespace(text_config={"vocab_size": words})
        model_run: Any = SimpleNamespace(
            traces=traces,
            prepared=SimpleNamespace(candidate=candidate, adapter=adapter),
            candidates=SimpleNamespace(job=lambda _: served, run=tool),
            references=SimpleNamespace(speed=speed),
        )
        config = ModelConfig(model="a/b")
        told = Settings(configs=tmp_path, **settings)
        measure(model_run, config, told, workload or Workload(input_tokens=7, reference_tokens=4))
        found = load_performance(traces)
        assert found is not None
        (tmp_path / "asked").write_text("\n".join(asked), encoding="utf-8")
        return found

    return run


def names(folder: Path) -> list[str]:
    """The jobs that were run."""
    return (folder / "asked").read_text(encoding="utf-8").splitlines()


def test_each_tool_is_run_once_in_the_served_configuration(measured: Measured, tmp_path: Path) -> None:
    """The reference at as many tokens, of the run's own prompts; its time over the engine's is the speed over it."""
    found = measured()

    assert names(tmp_path) == [
        "Model vllm bench latency",
        "Model vllm bench throughput",
        "Model vllm bench serve",
        "reference (1, 2, 3, 4, 5, 1, 2) 4",
    ]
    assert found.figures["speed_over_reference"] == Figure(value=75, n=3)
    assert (found.device, found.versions) == ("Ascend910B", {"vllm": "0.26.0"})
    assert (found.failed, found.not_measured) == ({}, {})


def test_a_tool_that_fails_stops_no_other(measured: Measured, tmp_path: Path) -> None:
    """Its reason is kept; there is no speed over the reference without the engine's."""
    found = measured("serve")

    assert len(names(tmp_path)) == 4
    assert list(found.failed) == ["serve"]
    assert "no memory" in found.failed["serve"]
    assert "speed_over_reference" not in found.figures
    assert "reference_tpot_ms" in found.figures


@pytest.mark.parametrize(
    ("changes", "tool", "why"),
    [
        ({"words": 2400}, "latency", "this vocabulary has 2,400"),
        ({"adapter": Path("lora")}, "latency", "asks without the LoRA"),
        ({"workload": Workload(reference_tokens=0)}, "reference", "reference_tokens is 0"),
        ({"part": "candidate"}, "reference", "no reference is computed"),
        ({"baseline": "only"}, "reference", "no reference is computed"),
    ],
)
def test_what_says_nothing_of_the_model_is_not_run(
    measured: Measured, tmp_path: Path, changes: dict[str, Any], tool: str, why: str
) -> None:
    """And why is kept."""
    found = measured(**changes)

    assert list(found.not_measured) == [tool]
    assert why in found.not_measured[tool]
    assert not any(tool in name for name in names(tmp_path))


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    """By the command line or by the YAML, whose workload counts; only of vLLM."""
    plain, own = ModelConfig(model="a/b"), ModelConfig.model_validate({"model": "a/b", "performance": {"requests": 5}})
    off, on = Settings(configs=tmp_path), Settings(configs=tmp_path, performance=True)

    assert workload_of(plain, off) is None
    assert workload_of(plain, on) == Workload()
    assert workload_of(own, off) == workload_of(own, on) == Workload(requests=5)
    assert workload_of(own, Settings(configs=tmp_path, candidate="transformers", performance=True)) is None
