"""The candidate: a vLLM engine on whatever platform it finds, greedy, its raw logits captured inside it."""

import itertools
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.checkpoint import EXPERTS
from npu_conformance.checkpoints.declared import ENDS
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.engines.vllm import versions as vllm_versions
from npu_conformance.engines.vllm.asking import MODES
from npu_conformance.engines.vllm.became import became
from npu_conformance.engines.vllm.engine_run import EngineRun
from npu_conformance.engines.vllm.generation import Generator
from npu_conformance.errors import JobError
from npu_conformance.machine.imports import importing
from npu_conformance.machine.provenance import numeric_environment, package_versions
from npu_conformance.machine.storage import scratch_dir, staged_dir
from npu_conformance.traces.trace import BOUNDARY, ModuleValue, load_trace, save_modules, save_trace
from npu_conformance.workers.job import CLOSING, STARTING
from npu_conformance.workers.log import log_length, log_since

if TYPE_CHECKING:
    from npu_conformance.workers.job import CandidateJob
    from npu_conformance.workers.worker import Progress

_CAPTURE = "npu_conformance.engines.vllm.capture:LogitsCapture"
_EXTENSION = "npu_conformance.engines.vllm.extension.Extension"
_engines = itertools.count()
"""Numbers the engines of this process."""


def run(job: "CandidateJob", progress: "Progress") -> None:
    """Start the engine, ask it what the job's mode says, and leave the trace.

    Raises:
        JobError: the platform is not the one asked for.
        TraceError: a sampled token's logits were not captured, or the trace whose tokens it is to take cannot be read.
    """
    rendered = load_rendered(job.rendered)
    started, log = time.monotonic(), log_length()
    progress(STARTING, 0, 0)
    options = job.options | (_tight_cache(job.tokens_of) if job.tight_cache and job.tokens_of else {})
    llm = start(job, options)
    loaded = time.monotonic()
    progress("started", 0, 0)
    number = next(_engines)
    with staged_dir(job.output) as stage, scratch_dir(job.output) as scratch:
        asked = EngineRun(job, rendered, Generator(llm, scratch, progress, lora_of(job)), stage)
        answers = MODES[job.mode](asked)
        provenance = {
            "engine": "vllm",
            "versions": package_versions(),
            "asked": options,
            "environment": numeric_environment(job.envs),
            **effective(llm, options),
            "observed": asked.observed | observed(llm),
            "seconds": {
                "start": round(loaded - started, 2),
                "generate": round(asked.seconds, 2),
                "afterwards": round(time.monotonic() - loaded - asked.seconds, 2),
            },
            **_peak(number),
            **log_since(log),
        }
        save_modules(stage, _made_with(llm))
        save_trace(
            stage,
            answers,
            # A long text may hold them anywhere.
            eos_token_ids=() if job.mode == "forced long" else rendered.eos_token_ids,
            provenance=provenance,
            forced=job.mode.startswith("forced") or job.tokens_of is not None,
        )
    # The trace is whole: an engine that dies or hangs while it closes takes nothing of it along.
    progress(CLOSING, 0, 0)
    close(llm)


def start(job: "CandidateJob", options: dict[str, Any]) -> Any:
    """VLLM's LLM, with our capture in it.

    Raises:
        JobError: the platform is not the one asked for.
    """
    with importing():
        from vllm import LLM
    from vllm.platforms import current_platform

    if job.device is not None and current_platform.device_type != job.device:
        raise JobError(
            f"--device {job.device} was asked for, vLLM found the platform {current_platform.device_type!r}: is the "
            "plugin of that platform installed, and its device visible?"
        )
    return LLM(
        model=str(job.checkpoint),
        # Speculative decoding refuses them.
        logits_processors=None if job.mode == "tokens only" else [_CAPTURE],
        worker_extension_cls=_EXTENSION,
        trust_remote_code=job.trust_remote_code,
        **options,
    )


def _tight_cache(forced: Path) -> dict[str, int]:
    """Options that give the KV cache room for the longest request and hardly more, so that batches do not fit."""
    base = load_trace(forced)
    cut = base.part(BOUNDARY)
    answers = (*base.answers, *(cut.answers if cut else ()))
    longest = max(len(answer.prompt_ids) + len(answer.token_ids) for answer in answers) + 1
    blocks = -(-longest // int(base.provenance["effective"]["block_size"]))
    # One more is vLLM's own null block, and one is for other requests to begin in and be preempted.
    return {"num_gpu_blocks_override": blocks + 2, "max_model_len": longest}


def lora_of(job: "CandidateJob") -> Any:
    """The request for the job's LoRA; None without one."""
    if job.adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(job.adapter.name, 1, str(job.adapter))


def effective(llm: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What the engine really runs with, by vLLM's argument names; it may differ from what was asked."""
    from vllm.platforms import current_platform

    return {
        "platform": current_platform.device_type,
        # Asked of a worker: with several ranks this process has no device, and asking here would initialise one.
        "device": llm.collective_rpc("device_name")[0],
        "effective": {
            **became(llm.llm_engine.vllm_config, asked),
            **({"ascend_config": ascend} if (ascend := llm.collective_rpc("vllm_ascend_config")[0]) else {}),
            **vllm_versions.effective(llm.llm_engine.vllm_config),
            "attention_backend": llm.collective_rpc("attention_backend")[0],
            "engine_process": os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING", "1") != "0",
        },
    }


def _made_with(llm: Any) -> list[ModuleValue]:
    """What the modules of all ranks were made with, and at which tokens the engine stops."""
    ranks = llm.collective_rpc("made_with")
    told = {f"{one[0]} {one[1]!r}": ModuleValue(*one) for rank in reversed(ranks) for one in rank}
    ends = llm.llm_engine.vllm_config.model_config.try_get_generation_config().get("eos_token_id")
    found = {*(ends if isinstance(ends, list) else [ends]), llm.get_tokenizer().eos_token_id} - {None}
    return [*told.values(), ModuleValue(ENDS, sorted(found), "the engine's stop tokens")]


def _peak(number: int) -> dict[str, float]:
    """The most memory this process held so far, in GiB; nothing after its first engine, for it keeps the maximum."""
    if number:
        return {}
    return {"peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}


def observed(llm: Any) -> dict[str, int]:
    """Signs that do not depend on what was asked (see `variants.Sign`)."""
    config = llm.llm_engine.vllm_config
    text = config.model_config.hf_text_config
    experts = max(getattr(text, name, None) or 0 for name in EXPERTS)
    return {
        "graph": int(vllm_versions.graphs_on(config)),
        "experts": int(experts),
        "lora_layers": int(llm.collective_rpc("lora_layers")[0]),
        "preemptions": _counted(llm, "vllm:num_preemptions"),
        "drafts": _counted(llm, "vllm:spec_decode_num_draft_tokens"),
        **llm.collective_rpc("vllm_ascend_signs")[0],
    }


def _counted(llm: Any, name: str) -> int:
    """A counter of the engine; 0 where it keeps no statistics."""
    if not llm.llm_engine.log_stats:
        return 0
    return sum(int(metric.value) for metric in llm.get_metrics() if metric.name == name)


def close(llm: Any) -> None:
    """End the engine, and the processes it started."""
    shutdown = vllm_versions.read(llm.llm_engine, vllm_versions.SHUTDOWN)
    if shutdown is not None:
        shutdown()
