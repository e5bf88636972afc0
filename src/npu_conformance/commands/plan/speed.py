"""What measuring speed takes: each tool of `vllm bench` with an engine of its own, beside what runs judge by."""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from typing import Any

from npu_conformance.commands.plan.estimate import IMPORTING, SIDE_BY_SIDE, Load, Take, Work, work_take
from npu_conformance.config.engines import DEFAULT
from npu_conformance.config.performance import Workload
from npu_conformance.engines.vllm.bench import WARMUPS
from npu_conformance.machine.devices import Platform

_CLIENTS = {"serve": 2}
"""Processes that ask a server, by tool."""


def in_words(tool: str, asked: Workload) -> str:
    """What a tool does."""
    of = f"of {asked.input_tokens} and {asked.output_tokens} tokens"
    return {
        "latency": f"speed, vllm bench latency: {asked.iterations} requests {of}, one at a time",
        "throughput": f"speed, vllm bench throughput: {asked.requests} requests {of} at once",
        "serve": f"speed, vllm bench serve: {asked.requests} requests {of} at a server, one at a time, then "
        f"{asked.concurrency} at once",
        "reference": f"speed of the reference in float32: {asked.reference_tokens} tokens after a prompt of "
        f"{asked.input_tokens}",
    }[tool]


def speed_take(
    tool: str, asked: Workload, load: Load, options: dict[str, Any], platform: Platform, envs: Mapping[str, str]
) -> Take:
    """What a tool takes; it leaves no rows.

    Args:
        tool: `latency`, `throughput` or `serve`.
        asked: what it asks the engine.
        load: what the engine is given.
        options: the engine's.
        platform: what it runs on.
        envs: the config's environment variables, and those of `as_served`.
    """
    take = work_take(load, _work(tool, asked, options), options, candidate=DEFAULT, platform=platform, envs=envs)
    return replace(take, seconds=take.seconds + _CLIENTS.get(tool, 0) * IMPORTING)


def _work(tool: str, asked: Workload, options: Mapping[str, Any]) -> Work:
    """Requests, warm-ups included, by how many of them run at once."""
    room = int(options.get("max_num_seqs") or SIDE_BY_SIDE)
    requests = asked.requests + WARMUPS
    turns = {
        "latency": [(asked.iterations + WARMUPS, 1)],
        "throughput": [(asked.requests, room)],
        "serve": [(requests, 1), (requests, min(room, asked.concurrency))],
    }[tool]
    return Work(
        tokens=sum(count for count, _ in turns) * (asked.input_tokens + asked.output_tokens),
        steps=sum(ceil(count / at_once) for count, at_once in turns) * asked.output_tokens,
        passes=len(turns),
        kept=0,
        scratch=0,
    )
