"""What an engine will take, before it starts: nominal numbers where nothing was measured, and none of them exact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from npu_conformance.checkpoints.checkpoint import Checkpoint, greatest
from npu_conformance.config.engines import engine
from npu_conformance.config.variants import ranks
from npu_conformance.engines.vllm.boundary import boundary
from npu_conformance.engines.vllm.module_states import JUDGED
from npu_conformance.engines.vllm.scenarios import ALONE, COPIES, JOINING, LATER
from npu_conformance.machine.devices import Platform
from npu_conformance.run.cost import NATIVE, READING, matmul_rate, native, operations
from npu_conformance.run.kv_cache import WIDTHS, Length, given_bytes
from npu_conformance.run.room import PROCESS, engine_bytes
from npu_conformance.run.schedule import Engine

# Seconds of a start on a CPU: of an engine (3 to 4), of what it compiles (24 to 72), of each further rank (20 to 50),
# and before them of a process with its imports (20 to 60). Twins in five runs on 2 cores of a Xeon at 2.5 GHz; an AMD
# EPYC took a third.
_ENGINE, _COMPILING, _RANK = 4, 40, 25
IMPORTING = 30
"""Seconds until a process has imported vLLM."""
# Seconds until an engine on an accelerator answers, eager, and compiled or captured: round numbers, unmeasured.
_EAGER, _CAPTURED = 60, 180
# Seconds an accelerator takes for all prompts once; unmeasured.
_PASS = 10
# Seconds of a step of an engine on a CPU besides its products: twins' take 15 to 25 ms on that Xeon.
_STEP = 0.02
# Of float32's rate, what products of 16 bits reach that the processor has no instructions for and oneDNN emulates: 12
# to 17 of 178 GFLOP/s in bfloat16, 6 to 10 in float16, for 44 to 2,048 rows on that Xeon.
_EMULATED: dict[str, float] = {"bfloat16": 0.09, "float16": 0.04}
# vLLM's own default of gpu_memory_utilization, which on a CPU is a share of all memory.
_SHARE = 0.92
# vLLM's block size on a CPU; it decides where block-boundary prompts are cut, not how many there are.
_BLOCK = 128
SIDE_BY_SIDE = 256
"""Requests that vLLM runs side by side."""
_POSITIONS = 32768
# Times that a server answers as many tokens as all prompts have.
_SERVED = 4


@dataclass(frozen=True)
class Load:
    """What an engine is given."""

    checkpoint: Checkpoint
    weights: float
    """Bytes it reads and holds."""
    lengths: tuple[Length, ...]
    longest: int | None
    """Tokens of the longest request the model itself can take; None where its config does not say."""
    adapted: bool = False
    """Served with a LoRA, and asked without it besides."""

    @property
    def vocabulary(self) -> int:
        """Logits of a row."""
        return greatest(self.checkpoint.text_config.get("vocab_size"))


@dataclass(frozen=True)
class Take:
    """What something takes: memory and disk at most."""

    seconds: float
    memory: float
    """Bytes of this machine's memory; an accelerator's own is not counted."""
    disk: float
    """Bytes that stay."""
    scratch: float = 0
    """Bytes of disk that are needed besides while it runs."""


@dataclass(frozen=True)
class Work:
    """What is asked of an engine."""

    tokens: int
    """Fed or generated, over all passes."""
    steps: int
    """Of the engine."""
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
    running: bool = False,
) -> Take:
    """What an engine takes.

    Args:
        load: what it is given.
        asked: the engine, and what it is asked.
        candidate: the engine under test.
        platform: what it runs on.
        envs: the config's environment variables, and the variant's.
        follows: whether it runs in a process in which another has run.
        running: whether it is a server that runs already, so that nothing but the asking is the run's.
    """
    work, options = _work(load, asked, candidate), asked.options
    if running:
        row = load.vocabulary * WIDTHS[options["dtype"]]
        return Take(_asking_seconds(load, work, options["dtype"], platform), PROCESS, work.kept * row)
    return work_take(load, work, options, candidate=candidate, platform=platform, envs=envs, follows=follows)


def work_take(
    load: Load,
    work: Work,
    options: dict[str, Any],
    *,
    candidate: str,
    platform: Platform,
    envs: Mapping[str, str],
    follows: bool = False,
) -> Take:
    """What an engine with these options takes that is asked so much (see `engine_take`)."""
    cache = given_bytes(load.checkpoint.text_config, options, load.lengths, envs)
    row = load.vocabulary * WIDTHS[options["dtype"]]
    return Take(
        seconds=_start_seconds(load, options, candidate, platform, follows)
        + _asking_seconds(load, work, options["dtype"], platform),
        memory=_memory(load, options, candidate, platform, cache),
        disk=work.kept * row,
        scratch=work.scratch * row,
    )


def _work(load: Load, asked: Engine, candidate: str) -> Work:
    count, rows = len(asked.lengths), sum(answer for _, answer in asked.lengths)
    tokens, longest = sum(map(sum, asked.lengths)), max((answer for _, answer in asked.lengths), default=0)
    bare = count if load.adapted else 0
    if not engine(candidate).forced_decode:
        return Work(tokens=2 * tokens, steps=2 * rows, passes=2, kept=rows + bare, scratch=0)
    # One that ends makes room for one that waits.
    steps = max(longest, rows // int(asked.options.get("max_num_seqs") or SIDE_BY_SIDE))
    if asked.mode == "forced long":
        return Work(tokens=tokens, steps=steps, passes=1, kept=rows, scratch=rows)
    if asked.mode == "tokens only":
        return Work(tokens=tokens, steps=steps, passes=1, kept=0, scratch=0)
    if asked.mode == "serving":
        # One after another, once more as a crowd of clients, and about as much for all else that is asked.
        return Work(tokens=_SERVED * tokens, steps=_SERVED * rows, passes=_SERVED, kept=0, scratch=0)
    boundary_rows, boundary_tokens, boundary_steps = _of_boundary(load)
    if asked.mode == "generate":
        again, one_by_one = COPIES + ALONE + JOINING, ALONE * rows // count
        looked_at = asked.layer_prompts + JUDGED * min(asked.module_prompts, count)
        # Chosen, chosen again, in another order, as one prefill, and one token of each as its user would ask.
        return Work(
            tokens=4 * tokens + (tokens - rows) + again * max(map(sum, asked.lengths)) + boundary_tokens,
            steps=3 * steps + 2 * longest + one_by_one + JOINING * LATER + count + boundary_steps + looked_at,
            passes=5,
            kept=2 * rows + bare + boundary_rows,
            scratch=2 * rows + bare + boundary_rows + again * longest,
        )
    passes = 2 if asked.mode == "forced warm" else 1
    kept = passes * rows + boundary_rows
    tokens, steps = passes * (tokens + boundary_tokens), passes * (steps + boundary_steps)
    return Work(tokens, steps, passes, kept, scratch=kept)


def _of_boundary(load: Load) -> tuple[int, int, int]:
    """Of the block-boundary prompts: rows, tokens, and steps when all are asked at once."""
    prompts = [[0] * prompt for prompt, _ in load.lengths]
    found = boundary(prompts, _BLOCK, load.longest or _POSITIONS).values()
    rows = [one.length for one in found]
    return sum(rows), sum(len(one.prompt_ids) for one in found) + sum(rows), max(rows, default=0)


def _start_seconds(load: Load, options: dict[str, Any], candidate: str, platform: Platform, follows: bool) -> float:
    eager = not engine(candidate).serve_options or bool(options.get("enforce_eager"))
    if platform != "cpu":
        return (_EAGER if eager else _CAPTURED) + load.weights / READING
    started = (0 if follows else IMPORTING) + _ENGINE + (ranks(options) - 1) * _RANK
    return started + (0 if eager else _COMPILING) + load.weights / READING


def _asking_seconds(load: Load, work: Work, dtype: str, platform: Platform) -> float:
    if platform != "cpu":
        return work.passes * _PASS
    share = 1.0 if dtype == "float32" else NATIVE if native(dtype) else _EMULATED[dtype]
    return work.steps * _STEP + operations(load.checkpoint, work.tokens, work.scratch) / (matmul_rate() * share)


def _memory(load: Load, options: dict[str, Any], candidate: str, platform: Platform, cache: float | None) -> float:
    if platform != "cpu":
        return PROCESS * ranks(options)
    if not engine(candidate).kv_cache:
        return PROCESS + load.weights
    if cache is None:
        return float(options.get("gpu_memory_utilization", _SHARE) * psutil.virtual_memory().total)
    return engine_bytes(load.weights, options, cache)
