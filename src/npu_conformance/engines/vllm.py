"""The candidate: a vLLM engine on whatever platform it finds, greedy, its raw logits captured inside it."""

import dataclasses
import io
import os
import resource
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from npu_conformance.engines.rendering import Rendered, as_messages, load_rendered
from npu_conformance.engines.scratch import capture_settings, read_digests, read_rows
from npu_conformance.errors import JobError
from npu_conformance.provenance import numeric_environment, package_versions
from npu_conformance.storage import scratch_dir, staged_dir
from npu_conformance.trace import WITHOUT_ADAPTER, Answer, Layers, Storage, save_layers, save_rows, save_trace

if TYPE_CHECKING:
    from npu_conformance.engines.job import CandidateJob
    from npu_conformance.engines.worker import Progress

_CAPTURE = "npu_conformance.engines.capture:LogitsCapture"
_LAYER_TAP = "npu_conformance.engines.layers.LayerTap"


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
        captured = _Captured(llm, rendered, scratch, progress)
        outputs = captured.rows("generating", stage, rendered.lengths(job.max_tokens), _lora(job))
        generated = time.monotonic()
        # Cold again, or the second run would prefill other lengths than the first.
        llm.reset_prefix_cache()
        repeats = captured.digests("generating again", rendered.lengths(job.max_tokens), _lora(job))
        own = _own_tokenisation(llm, job, rendered)
        answers = [
            dataclasses.replace(answer, own_prompt_ids=ids, repeat_token_ids=tokens, repeat_digests=digests)
            for answer, ids, (tokens, digests) in zip(outputs, own, repeats, strict=True)
        ]
        provenance = {
            "engine": "vllm",
            "versions": package_versions(),
            "asked": job.options,
            "environment": numeric_environment(),
            **_effective(llm),
            "seconds": {
                "start": round(loaded - started, 2),
                "generate": round(generated - loaded, 2),
            },
        }
        if job.adapter is not None:
            without = stage / WITHOUT_ADAPTER
            without.mkdir()
            bare = captured.rows("generating without the adapter", without, [1] * len(outputs), None)
            save_trace(without, bare, eos_token_ids=rendered.eos_token_ids, provenance=provenance)
        if job.layer_prompts and (layers := _layers(llm, job, rendered)):
            save_layers(stage, layers)
        progress("closing", 0, 0)
        provenance["peak_rss_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        save_trace(stage, answers, eos_token_ids=rendered.eos_token_ids, provenance=provenance)
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
        worker_extension_cls=_LAYER_TAP,
        trust_remote_code=job.trust_remote_code,
        **job.options,
    )


def _lora(job: "CandidateJob") -> Any:
    if job.adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(job.adapter.name, 1, str(job.adapter))


class _Captured:
    """Generation with every logits row captured, into files of its own each time."""

    def __init__(self, llm: Any, rendered: Rendered, scratch: Path, progress: "Progress") -> None:
        self._llm = llm
        self._rendered = rendered
        self._scratch = scratch
        self._progress = progress
        self._dtype = cast("Storage", str(llm.llm_engine.vllm_config.model_config.dtype).removeprefix("torch."))

    def rows(self, phase: str, stage: Path, lengths: list[int], lora: Any) -> list[Answer]:
        """Generate at most `lengths` tokens a prompt, and write each prompt's rows into a staged trace."""
        files, outputs = self._generate(phase, lengths, lora, digests_only=False)
        answers = []
        for index, output in enumerate(outputs):
            tokens = tuple(output.outputs[0].token_ids)
            stored, storage = read_rows(files, index, len(tokens), max(lengths), self._dtype)
            save_rows(stage, index, stored)
            answers.append(
                Answer(
                    prompt=self._rendered.prompts[index].id,
                    prompt_ids=tuple(output.prompt_token_ids),
                    token_ids=tokens,
                    text=output.outputs[0].text,
                    storage=storage,
                )
            )
        return answers

    def digests(self, phase: str, lengths: list[int], lora: Any) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
        """Generate once; the tokens of each prompt and the digests of its rows."""
        files, outputs = self._generate(phase, lengths, lora, digests_only=True)
        tokens = [tuple(output.outputs[0].token_ids) for output in outputs]
        return [(ids, read_digests(files, index, len(ids), max(lengths))) for index, ids in enumerate(tokens)]

    def _generate(self, phase: str, lengths: list[int], lora: Any, *, digests_only: bool) -> tuple[Path, list[Any]]:
        from vllm import SamplingParams

        files = Path(tempfile.mkdtemp(dir=self._scratch))
        parameters = [
            SamplingParams(
                temperature=0.0,
                max_tokens=length,
                extra_args=capture_settings(files, index, max(lengths), digests_only=digests_only),
            )
            for index, length in enumerate(lengths)
        ]
        prompts = [{"prompt_token_ids": list(ids)} for ids in self._rendered.prompt_ids]
        bar = _bar(self._progress, phase)
        return files, list(self._llm.generate(prompts, parameters, use_tqdm=bar, lora_request=lora))


def _layers(llm: Any, job: "CandidateJob", rendered: Rendered) -> Layers | None:
    """Hidden states at the last token of the first prompts, one request at a time."""
    from vllm import SamplingParams

    one = SamplingParams(temperature=0.0, max_tokens=1)
    found: list[dict[str, list[float]]] = []
    llm.collective_rpc("start_layer_tap")
    for ids in rendered.prompt_ids[: job.layer_prompts]:
        llm.generate([{"prompt_token_ids": list(ids)}], one, use_tqdm=False, lora_request=_lora(job))
        states = llm.collective_rpc("hidden_states", args=(len(ids),))[0]
        if states is None:
            break
        found.append(states)
    llm.collective_rpc("stop_layer_tap")
    if not found:
        return None
    points = tuple(found[0])
    return Layers(points, np.array([[states[point] for point in points] for states in found], dtype=np.float32))


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
            lora_request=_lora(job),
        )
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(chat, outputs, strict=True)}
    if plain:
        texts = [rendered.prompts[index].text for index in plain]
        outputs = llm.generate(texts, one, use_tqdm=False, lora_request=_lora(job))
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
