"""What the job of a variant's engine says: what it does, its environment, its deadline."""

from pathlib import Path

import pytest

from tests.unit.helpers.made_candidates import OWN, Processes, candidates, on_four_cores
from tests.unit.helpers.tiny_adapters import write_adapter


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all of these run."""
    on_four_cores(monkeypatch)


@pytest.mark.parametrize(
    ("variant", "mode", "tokens_of"),
    [
        ("base", "generate", False),
        ("as_served", "generate", False),
        ("graph", "forced", True),
        ("small_blocks", "forced", True),
        ("prefix_caching", "forced warm", True),
        ("long_prompt", "forced long", False),
        ("left_to_vllm", "forced warm", True),
        ("spec_decode", "tokens only", False),
    ],
)
def test_what_a_variant_does(tmp_path: Path, variant: str, mode: str, tokens_of: bool) -> None:
    """A cache that is on is warmed first, also where it is on because vLLM's own default is."""
    job = candidates(tmp_path, Processes(), {"variants": OWN}).job(variant)
    traces = tmp_path / "traces"

    assert job.output == traces / variant / "candidate"
    assert (job.mode, job.tokens_of) == (mode, traces / "base" / "candidate" if tokens_of else None)
    assert (job.rendered, job.checkpoint) == (traces / "rendered.json", tmp_path / "weights")
    assert (job.layer_prompts, job.module_prompts) == ((8, 24) if variant == "base" else (0, 0))
    assert not job.tight_cache
    assert job.options.get("block_size") == (16 if variant == "small_blocks" else None)


def test_preemption_needs_a_tight_cache(tmp_path: Path) -> None:
    """Or nothing is preempted."""
    assert candidates(tmp_path, Processes()).job("preemption").tight_cache


def test_what_a_job_takes_from_config_and_command_line(tmp_path: Path) -> None:
    """All that decides about the engine, and the LoRA with room for its rank."""
    adapter = write_adapter(tmp_path / "lora", r=12)
    config = {"max_tokens": 7, "chat_template_kwargs": {"thinking": False}, "serve": {"trust_remote_code": True}}
    job = candidates(tmp_path, Processes(), config, device="npu", candidate_adapter=adapter).job("tp2")

    assert (job.engine, job.device, job.max_tokens, job.trust_remote_code) == ("vllm", "npu", 7, True)
    assert job.chat_template_kwargs == {"thinking": False}
    assert job.adapter == adapter
    added = {"enable_lora": True, "max_lora_rank": 16, "max_loras": 1, "tensor_parallel_size": 2}
    assert job.options | added == job.options


def test_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine inline, the config's own variables, a KV cache on a CPU, and a core for each of several ranks."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    processes = Processes()
    config = {"envs": {"OWN": "1", "VLLM_NO_USAGE_STATS": "0"}}
    candidates(tmp_path, processes, config).make("tp2", ())
    plain, sharded = processes.environments

    assert plain == {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "0",
        "HF_HUB_OFFLINE": "1",
        "OWN": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    assert sharded.keys() - plain.keys() == {"VLLM_CPU_OMP_THREADS_BIND"}
    npu = candidates(tmp_path, Processes(), device="npu").environment({"tensor_parallel_size": 2})
    assert not {"VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_KVCACHE_SPACE"} & npu.keys()


def test_transformers_on_a_cpu_takes_the_hosts_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascend's images say one; it has no ranks to bind."""
    monkeypatch.setattr("npu_conformance.run.candidates.host_cores", lambda _: 3)
    made = candidates(tmp_path, Processes(), candidate="transformers").environment({"tensor_parallel_size": 2})

    assert made["OMP_NUM_THREADS"] == "3"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in made


def test_ranks_are_spawned_unless_the_config_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this shell says is not asked: an NPU cannot be initialised again in a forked process."""
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")
    told, processes = {"envs": {"VLLM_WORKER_MULTIPROC_METHOD": "fork"}}, Processes()
    candidates(tmp_path, processes, told).make("tp2", ())
    ours = candidates(tmp_path, Processes(), device="npu").environment({"tensor_parallel_size": 2})

    assert ours["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert processes.environments[-1]["VLLM_WORKER_MULTIPROC_METHOD"] == "fork"


@pytest.mark.parametrize(("deadline", "expected"), [(None, 77), (5.0, 5.0)])
def test_deadlines(tmp_path: Path, deadline: float | None, expected: float) -> None:
    """The command line's before the config's."""
    processes = Processes()
    candidates(tmp_path, processes, {"deadline": 77}, deadline=deadline).make("base", ())

    assert processes.deadlines == [expected]
