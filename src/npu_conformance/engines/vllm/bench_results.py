"""What `vllm bench` writes as JSON, as figures of performance; its text is not read.

The keys were read in vLLM 0.18, 0.23, 0.26 and 0.32.
"""

from collections.abc import Mapping
from typing import Any

from npu_conformance.config.performance import PERCENTILES, Workload
from npu_conformance.errors import JobError
from npu_conformance.traces.performance import Figure

# vLLM's name of a whole request's time is end-to-end latency.
_SERVED = {"ttft": "ttft", "tpot": "tpot", "latency": "e2el"}


def latency(found: Mapping[str, Any]) -> dict[str, Figure]:
    """Of `vllm bench latency`: seconds of a batch, which is one request here.

    Raises:
        JobError: it lacks a key.
    """
    with _Keys("latency"):
        n = len(found["latencies"])
        return {f"latency_p{one}_ms": Figure(value=1000 * found["percentiles"][str(one)], n=n) for one in PERCENTILES}


def throughput(found: Mapping[str, Any], workload: Workload) -> dict[str, Figure]:
    """Of `vllm bench throughput`: it counts tokens of prompts too, which are not what is generated.

    Raises:
        JobError: it lacks a key, or not all was asked.
    """
    with _Keys("throughput"):
        n, rate = int(found["num_requests"]), float(found["requests_per_second"])
        _all("throughput", n, workload)
        return {
            "throughput_tokens_per_s": Figure(value=rate * workload.output_tokens, n=n),
            "throughput_requests_per_s": Figure(value=rate, n=n),
        }


def served(name: str, found: Mapping[str, Any], workload: Workload) -> dict[str, Figure]:
    """Of `vllm bench serve`.

    Args:
        name: `single` or `loaded`.
        found: its JSON.
        workload: what was asked.

    Raises:
        JobError: it lacks a key, or a request failed.
    """
    with _Keys("serve"):
        n = int(found["completed"])
        _all("serve", n, workload)
        times = {
            f"{name}_{ours}_p{one}_ms": Figure(value=found[f"p{one}_{theirs}_ms"], n=n)
            for ours, theirs in _SERVED.items()
            for one in PERCENTILES
        }
        return {
            **times,
            f"{name}_tokens_per_s": Figure(value=found["output_throughput"], n=n),
            f"{name}_requests_per_s": Figure(value=found["request_throughput"], n=n),
        }


def _all(tool: str, n: int, workload: Workload) -> None:
    if n != workload.requests:
        raise JobError(f"vllm bench {tool}: {n} of {workload.requests} requests were answered: its log says why")


class _Keys:
    """Within it a key that is not there, or a value of another form, is said to be so."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError):
            raise JobError(
                f"vllm bench {self._tool}: its JSON is not of the form that is known ({type(error).__name__}: {error})"
            ) from error
