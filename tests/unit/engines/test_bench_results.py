"""What `vllm bench` wrote on real runs, and what engines' logs said, as figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.config.performance import FIGURES, Workload
from npu_conformance.engines.vllm.bench_results import latency, served, throughput
from npu_conformance.engines.vllm.started_log import started
from npu_conformance.errors import JobError

SAVED = Path(__file__).with_name("bench_json")


def saved(name: str) -> dict[str, Any]:
    """A file that a real run left."""
    found: dict[str, Any] = json.loads((SAVED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_serve_gives_percentiles_and_rates() -> None:
    """In vLLM's own units; the whole request is its end-to-end latency."""
    found = served("single", saved("single"), Workload())

    assert found["single_ttft_p50_ms"].value == pytest.approx(32.994, abs=1e-3)
    assert found["single_tpot_p99_ms"].value == pytest.approx(9.167, abs=1e-3)
    assert found["single_latency_p90_ms"].value == pytest.approx(363.103, abs=1e-3)
    assert found["single_tokens_per_s"].value == pytest.approx(235.737, abs=1e-3)
    assert {one.n for one in found.values()} == {32}
    assert set(found) == {name for name in FIGURES if name.startswith("single_")}


def test_throughput_counts_what_is_generated() -> None:
    """Its own rate counts tokens of prompts too."""
    found = throughput(saved("throughput"), Workload())

    assert found["throughput_requests_per_s"].value == pytest.approx(30.748, abs=1e-3)
    assert found["throughput_tokens_per_s"].value == pytest.approx(30.748 * 64, rel=1e-4)


def test_latency_is_in_milliseconds() -> None:
    """Of a request; JSON has percentiles by text."""
    found = latency(saved("latency"))

    assert set(found) == {"latency_p50_ms", "latency_p90_ms", "latency_p99_ms"}
    assert found["latency_p50_ms"].value == pytest.approx(1000 * saved("latency")["percentiles"]["50"])
    assert found["latency_p50_ms"].n == len(saved("latency")["latencies"])


@pytest.mark.parametrize("version", ["0.18.0", "0.26.0"])
def test_other_versions_have_the_same_keys(version: str) -> None:
    """Runs of 12 requests of 32 tokens, and of `latency` ten iterations."""
    asked = Workload(requests=12, output_tokens=32)
    found = throughput(saved(f"throughput-{version}"), asked) | served("single", saved(f"single-{version}"), asked)

    assert {one.n for one in found.values()} == {12}
    assert len(found) == 13
    assert min(one.value for one in found.values()) > 0
    assert latency(saved("latency-0.18.0"))["latency_p99_ms"].n == 10


def test_a_request_that_failed_is_told() -> None:
    """It would make the rest look faster."""
    with pytest.raises(JobError, match="serve: 31 of 32 requests were answered"):
        served("single", saved("single") | {"completed": 31}, Workload())
    with pytest.raises(JobError, match="throughput: 32 of 16 requests"):
        throughput(saved("throughput"), Workload(requests=16))


@pytest.mark.parametrize("change", [{"p50_ttft_ms": None}, {"completed": "many"}, {"output_throughput": -1}])
def test_another_form_is_told_by_its_tool(change: dict[str, Any]) -> None:
    """A later vLLM may have one; so is a key that is not there."""
    with pytest.raises(JobError, match="vllm bench serve: its JSON is not of the form that is known"):
        served("single", saved("single") | change, Workload())
    with pytest.raises(JobError, match=r"vllm bench latency: .*KeyError"):
        latency({"latencies": [1.0], "percentiles": {"50": 1.0}})


GPU = """
INFO 11-28 05:21:14 [default_loader.py:385] Loading weights took 1.15 seconds
INFO 11-28 05:21:14 [gpu_model_runner.py:4567] Model loading took 3.0375 GiB memory and 1.840000 seconds
(Worker_TP1 pid=7) INFO [gpu_model_runner.py:4567] Model loading took 3.05 GiB memory and 2.500000 seconds
INFO 11-28 05:21:30 [monitor.py:20] torch.compile took 15.19 s in total
INFO 11-28 05:21:31 [gpu_worker.py:457] Available KV cache memory: 48.62 GiB
INFO 11-28 05:21:31 [kv_cache_utils.py:1316] GPU KV cache size: 1,820,800 tokens
INFO 11-28 05:21:33 [gpu_model_runner.py:5747] Graph capturing finished in 2 secs, took 0.17 GiB
INFO 11-28 05:21:33 [core.py:282] init engine (profile, create kv cache, warmup model) took 20.32 seconds
"""


def test_an_engines_log_gives_its_start(tmp_path: Path) -> None:
    """The slowest and largest rank's."""
    log = tmp_path / "server.log"
    log.write_text(GPU, encoding="utf-8")

    assert started(log) == {
        "weights_s": 1.15,
        "load_s": 2.5,
        "compile_s": 15.19,
        "graph_s": 2,
        "init_s": 20.32,
        "weights_gib": 3.05,
        "graph_gib": 0.17,
        "kv_cache_gib": 48.62,
        "kv_cache_tokens": 1820800,
    }


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        # vllm-ascend, worker/model_runner_v1.py and worker/worker.py
        ("INFO [model_runner_v1.py:3571] Loading model weights took 7.5240 GB", {"weights_gib": 7.524}),
        ("INFO [worker.py:571] Available KV cache memory: 40.25 GiB", {"kv_cache_gib": 40.25}),
        # a CPU, of 0.18 and of later ones
        ("WARNING [cpu.py:137] VLLM_CPU_KVCACHE_SPACE not set. Using 11.77 GiB for KV cache.", {"kv_cache_gib": 11.77}),
        ("INFO [cpu_worker.py:260] Explicitly set (1.0/23.54) GiB for KV cache on node 0.", {"kv_cache_gib": 1.0}),
        ("INFO [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens, Maximum", {"kv_cache_tokens": 262144}),
        ("INFO [core.py:402] init engine (profile, create kv cache, warmup model) took 28.48 s", {"init_s": 28.48}),
        ("INFO [monitor.py:91] [backbone] Initial profiling/warmup run took 0.24 s", {}),
        ("INFO Graph capturing finished in 3 secs, took -0.02 GiB", {"graph_s": 3}),
        ("INFO KV cache size: , tokens", {}),
        (f"INFO KV cache size: {'9' * 400} tokens", {}),
        ("\x00\xff nothing of the kind", {}),
    ],
)
def test_lines_of_other_engines(tmp_path: Path, line: str, figures: dict[str, float]) -> None:
    """What a log does not say is not measured."""
    log = tmp_path / "server.log"
    log.write_bytes(line.encode("latin-1"))

    assert started(log) == figures
