"""The candidate: a vLLM engine on whatever platform it finds, greedy, its raw logits captured inside it."""

import io
import os
import resource
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from npu_conformance.engines.rendering import Rendered, as_messages, load_rendered
from npu_conformance.engines.scratch import capture_settings, read_digests, read_rows
from npu_conformance.errors import JobError
from npu_conformance.provenance import numeric_environment, package_versions
from npu_conformance.storage import scratch_dir, staged_dir
from npu_conformance.trace import Answer, Storage, save_rows, save_trace

if TYPE_CHECKING:
    from npu_conformance.engines.job import CandidateJob
    from npu_conformance.engines.worker import Progress

_CAPTURE = "npu_conformance.engines.capture:LogitsCapture"


def run(job: "CandidateJob", progress: "Progress") -> None:
    """Start the engine, generate twice, ask for its own tokenisation, and leave the trace.

    Raises:
        JobError: the platform is not the one asked for.
        TraceError: a sampled token's logits were not captured.
    """
    rendered = load_rendered(job.rendered)
    started = time.monotonic()
    progress("starting vLLM", 0, 0)
    llm = _start(job)
    loaded = time.monotonic()
    with staged_dir(job.output) as stage, scratch_dir(job.output) as scratch:
        rows, digests = scratch / "rows", scratch / "digests"
        for folder in (rows, digests):
            folder.mkdir()
        outputs = _generate(llm, job, rendered, rows, progress, "generating", digests_only=False)
        generated = time.monotonic()
        # Cold again, or the second run would prefill other lengths than the first.
        llm.reset_prefix_cache()
        repeats = _generate(llm, job, rendered, digests, progress, "generating again", digests_only=True)
        own = _own_tokenisation(llm, job, rendered)
        progress("closing", 0, 0)
        answers = []
        dtype = cast("Storage", str(llm.llm_engine.vllm_config.model_config.dtype).removeprefix("torch."))
        for index, (output, repeat) in enumerate(zip(outputs, repeats, strict=True)):
            tokens, again = tuple(output.outputs[0].token_ids), tuple(repeat.outputs[0].token_ids)
            stored, storage = read_rows(rows, index, len(tokens), job.max_tokens, dtype)
            save_rows(stage, index, stored)
            answers.append(
                Answer(
                    prompt=rendered.prompts[index].id,
                    prompt_ids=tuple(output.prompt_token_ids),
                    token_ids=tokens,
                    text=output.outputs[0].text,
                    storage=storage,
                    own_prompt_ids=own[index],
                    repeat_token_ids=again,
                    repeat_digests=read_digests(digests, index, len(again), job.max_tokens),
                )
            )
        save_trace(
            stage,
            answers,
            eos_token_ids=rendered.eos_token_ids,
            provenance={
                "engine": "vllm",
                "versions": package_versions(),
                "asked": job.options,
                "environment": numeric_environment(),
                **_effective(llm),
                "seconds": {
                    "start": round(loaded - started, 2),
                    "generate": round(generated - loaded, 2),
                },
                "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            },
        )
        _close(llm)


def _start(job: "CandidateJob") -> Any:
    from vllm import LLM
    from vllm.platforms import current_platform

    if job.device is not None and current_platform.device_type != job.device:
        raise JobError(
            f"--device {job.device} was asked for, vLLM found the platform {current_platform.device_type!r}: is the "
            "plugin of that platform installed, and its device visible?"
        )
    return LLM(
        model=str(job.checkpoint),
        logits_processors=[_CAPTURE],
        trust_remote_code=job.trust_remote_code,
        **job.options,
    )


def _generate(
    llm: Any,
    job: "CandidateJob",
    rendered: Rendered,
    scratch: Path,
    progress: "Progress",
    phase: str,
    *,
    digests_only: bool,
) -> list[Any]:
    from vllm import SamplingParams

    parameters = [
        SamplingParams(
            temperature=0.0,
            max_tokens=job.max_tokens,
            extra_args=capture_settings(scratch, index, job.max_tokens, digests_only=digests_only),
        )
        for index in range(len(rendered.prompts))
    ]
    prompts = [{"prompt_token_ids": list(ids)} for ids in rendered.prompt_ids]
    return list(llm.generate(prompts, parameters, use_tqdm=_bar(progress, phase)))


def _own_tokenisation(llm: Any, job: "CandidateJob", rendered: Rendered) -> list[tuple[int, ...]]:
    """The ids a user's request would get: the engine is sent text and messages, and says what it made of them."""
    from vllm import SamplingParams

    one = SamplingParams(temperature=0.0, max_tokens=1)
    own: dict[int, tuple[int, ...]] = {}
    chat = [index for index, templated in enumerate(rendered.chat) if templated]
    plain = [index for index, templated in enumerate(rendered.chat) if not templated]
    if chat:
        outputs = llm.chat(
            [as_messages(rendered.prompts[index]) for index in chat],
            one,
            use_tqdm=False,
            chat_template_kwargs=job.chat_template_kwargs or None,
        )
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(chat, outputs, strict=True)}
    if plain:
        outputs = llm.generate([rendered.prompts[index].text for index in plain], one, use_tqdm=False)
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(plain, outputs, strict=True)}
    return [own[index] for index in range(len(rendered.prompts))]


def _bar(progress: "Progress", phase: str) -> Any:
    """A tqdm that reports to our progress instead of drawing itself."""
    from tqdm import tqdm

    class Reporting(tqdm):
        def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # noqa: ARG002
            progress(phase, int(self.n), int(self.total or 0))
            return True

    return partial(Reporting, file=io.StringIO(), mininterval=0.2)


def _effective(llm: Any) -> dict[str, Any]:
    """What the engine really runs with, which may differ from what was asked."""
    from vllm.platforms import current_platform

    config = llm.llm_engine.vllm_config
    graph = getattr(config.compilation_config, "cudagraph_mode", None)
    mode = getattr(config.compilation_config, "mode", None)
    return {
        "platform": current_platform.device_type,
        "device": current_platform.get_device_name(),
        "effective": {
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "enforce_eager": config.model_config.enforce_eager,
            "compilation_mode": getattr(mode, "name", mode),
            "cudagraph_mode": getattr(graph, "name", graph),
            "prefix_caching": config.cache_config.enable_prefix_caching,
            "chunked_prefill": getattr(config.scheduler_config, "enable_chunked_prefill", None),
            "async_scheduling": getattr(config.scheduler_config, "async_scheduling", None),
            "block_size": config.cache_config.block_size,
            "max_model_len": config.model_config.max_model_len,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "quantization": config.model_config.quantization,
            "engine_process": os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING", "1") != "0",
        },
    }


def _close(llm: Any) -> None:
    shutdown = getattr(getattr(llm.llm_engine, "engine_core", None), "shutdown", None)
    if shutdown is not None:
        shutdown()
