"""What an engine will take, before it starts: nominal numbers where nothing was measured, and none of them exact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from npu_conformance.config.engines import engine
from npu_conformance.config.variants import ranks
from npu_conformance.engines.vllm.boundary import boundary
from npu_conformance.machine.capacity import GIB
from npu_conformance.machine.devices import Platform
from npu_conformance.run.cost import pass_seconds
from npu_conformance.run.kv_cache import WIDTHS, Length, given_bytes
from npu_conformance.run.room import PROCESS, engine_bytes
from npu_conformance.run.schedule import Engine

# Seconds until an engine answers: eager, and compiled or captured. On 2 cores of an AMD EPYC a twin's took 9 and 18 to
# 32; those of accelerators are round numbers, and unmeasured.
_START: dict[bool, tuple[int, int]] = {True: (10, 30), False: (60, 180)}
# Of a start on a CPU, what goes into imports: an engine that follows another in its process does without.
_IMPORTS = 7
# What a disk gives at least, in bytes a second.
_READING = GIB
# Seconds an accelerator takes for all prompts once; unmeasured.
_PASS = 10
# vLLM's own default of gpu_memory_utilization, which on a CPU is a share of all memory.
_SHARE = 0.92
# vLLM's block size on a CPU; it decides where block-boundary prompts are cut, not how many there are.
_BLOCK = 128
# Requests asked again in small batches, see `engines/scenarios.py`: copies, alone, joining.
_SMALL_BATCHES = 20
_POSITIONS = 32768


@dataclass(frozen=True)
class Load:
    """What an engine is given."""

    parameters: int
    weights: float
    """Bytes it reads and holds."""
    vocabulary: int
    lengths: tuple[Length, ...]
    longest: int | None
    """Tokens of the longest request the model itself can take; None where its config does not say."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its config.json, for what a KV cache is made of."""
    adapted: bool = False
    """Served with a LoRA, and asked without it besides."""


@dataclass(frozen=True)
class Take:
    """What something takes, at most."""

    seconds: float
    memory: float
    """Bytes of this machine's memory; an accelerator's own is not counted."""
    disk: float
    """Bytes that stay."""
    scratch: float = 0
    """Bytes of disk that are needed besides while it runs."""


@dataclass(frozen=True)
class _Work:
    """What is asked of an engine."""

    tokens: int
    """Fed or generated, over all passes."""
    passes: int
    """Times that all prompts are asked."""
    kept: int
    """Rows of logits in its trace."""
    scratch: int
    """Rows that are captured on the way."""


def engine_take(
    load: Load,
    asked: Engine,
    *,
    candidate: str,
    platform: Platform,
    envs: Mapping[str, str],
    follows: bool,
) -> Take:
    """What an engine takes.

    Args:
        load: what it is given.
        asked: the engine, and what it is asked.
        candidate: the engine under test.
        platform: what it runs on.
        envs: the config's environment variables, and the variant's.
        follows: whether it runs in a process in which another has run.
    """
    options = asked.options
    work = _work(load, asked, candidate)
    cache = given_bytes(load.config, options, load.lengths, envs)
    row = load.vocabulary * WIDTHS[options["dtype"]]
    return Take(
        seconds=_start_seconds(load, options, candidate, platform, follows) + _asking_seconds(load, work, platform),
        memory=_memory(load, options, candidate, platform, cache),
        disk=work.kept * row,
        scratch=work.scratch * row,
    )


def _work(load: Load, asked: Engine, candidate: str) -> _Work:
    lengths, rows = asked.lengths, sum(answer for _, answer in asked.lengths)
    tokens = sum(map(sum, lengths))
    bare = len(lengths) if load.adapted else 0
    if not engine(candidate).forced_decode:
        return _Work(tokens=2 * tokens, passes=2, kept=rows + bare, scratch=0)
    if asked.mode == "forced long":
        return _Work(tokens=tokens, passes=1, kept=rows, scratch=rows)
    if asked.mode == "tokens only":
        return _Work(tokens=tokens, passes=1, kept=0, scratch=0)
    probed = _probed(load)
    if asked.mode == "generate":
        again = _SMALL_BATCHES * max(answer for _, answer in lengths)
        # Chosen, chosen again, in another order, as one prefill, and one token of each as its user would ask.
        kept, captured = 2 * rows + bare + probed, 2 * rows + bare + probed + again
        return _Work(tokens=5 * tokens, passes=5, kept=kept, scratch=captured)
    passes = 2 if asked.mode == "forced warm" else 1
    kept = passes * rows + probed
    return _Work(tokens=passes * tokens, passes=passes, kept=kept, scratch=kept)


def _probed(load: Load) -> int:
    """Rows of the block-boundary prompts."""
    prompts = [[0] * prompt for prompt, _ in load.lengths]
    return sum(probe.length for probe in boundary(prompts, _BLOCK, load.longest or _POSITIONS).values())


def _start_seconds(load: Load, options: dict[str, Any], candidate: str, platform: Platform, follows: bool) -> float:
    eager = not engine(candidate).serve_options or bool(options.get("enforce_eager"))
    seconds = _START[platform == "cpu"][0 if eager else 1] - (_IMPORTS if follows else 0)
    return seconds + load.weights / _READING


def _asking_seconds(load: Load, work: _Work, platform: Platform) -> float:
    return pass_seconds(load.parameters, work.tokens) if platform == "cpu" else work.passes * _PASS


def _memory(load: Load, options: dict[str, Any], candidate: str, platform: Platform, cache: float | None) -> float:
    if platform != "cpu":
        return PROCESS * ranks(options)
    if not engine(candidate).kv_cache:
        return PROCESS + load.weights
    if cache is None:
        return float(options.get("gpu_memory_utilization", _SHARE) * psutil.virtual_memory().total)
    return engine_bytes(load.weights, options, cache)
