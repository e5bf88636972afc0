"""Made-up records of performance."""

from typing import Any

from npu_conformance.config.performance import Workload
from npu_conformance.traces.performance import Bench, Figure, Performance


def speed(factor: float = 1.0, **changes: Any) -> Performance:
    """A record of an engine that is so many times as fast as the plain one."""
    figures = {
        "throughput": {"throughput_tokens_per_s": 500 * factor},
        "serve": {"single_tpot_p50_ms": 20 / factor, "single_latency_p50_ms": 1300 / factor, "kv_cache_tokens": 262144},
    }
    tools = {
        tool: Bench(
            figures={name: Figure(value=value, n=32) for name, value in found.items()},
            command=(f"vllm bench {tool} --num-prompts=32",),
        )
        for tool, found in figures.items()
    }
    told: dict[str, Any] = {"workload": Workload(), "device": "cpu", "versions": {"vllm": "0.26.0"}, "tools": tools}
    return Performance(**told | changes)
