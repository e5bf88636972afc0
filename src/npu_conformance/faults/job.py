"""The worker's side of a campaign: one engine, base's tokens walked under one fault after another."""

import dataclasses
from typing import TYPE_CHECKING, Any

from npu_conformance.engines.asking import Asked, layers_at, prefill_part
from npu_conformance.engines.generation import Generator, walk
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.engines.vllm import lora_of, start
from npu_conformance.errors import TraceError
from npu_conformance.faults.catalogue import KINDS
from npu_conformance.faults.live import Live
from npu_conformance.storage import scratch_dir, staged_dir
from npu_conformance.trace import Trace, load_trace, save_layers, save_trace

if TYPE_CHECKING:
    from npu_conformance.engines.job import FaultsJob, Injection
    from npu_conformance.engines.worker import Progress


def run(job: "FaultsJob", progress: "Progress") -> None:
    """Leave a trace a fault, each beside base's in its folder."""
    progress("starting vLLM", 0, 0)
    if job.walks is None:
        raise TraceError("a campaign of faults walks base's tokens, and is told of none")
    base, rendered = load_trace(job.walks), load_rendered(job.rendered)
    llm = start(job, job.options)
    live = Live(llm.collective_rpc(_runner)[0])
    for done, one in enumerate(job.injections):
        progress("walking under faults", done, len(job.injections))
        output = job.output / one.label / "candidate"
        output.parent.mkdir(parents=True, exist_ok=True)
        with staged_dir(output) as stage, scratch_dir(output) as scratch:
            asked = Asked(job, rendered, Generator(llm, scratch, _silent, lora_of(job)), stage)
            with live.faulty(KINDS[one.kind].inject, one.strength):
                _walk(asked, base, one)


def _walk(asked: Asked, base: Trace, one: "Injection") -> None:
    requests = [walk(answer.prompt_ids, answer.token_ids) for answer in base.answers]
    walked = asked.generator.rows(one.label, requests)
    answers = asked.save([answer.prompt for answer in base.answers], walked, forced=True)
    if KINDS[one.kind].repeated:
        again = asked.generator.digests(one.label, requests)
        answers = [
            dataclasses.replace(answer, repeat_token_ids=tokens, repeat_digests=digests)
            for answer, (tokens, digests) in zip(answers, again, strict=True)
        ]
    prefill_part(asked, answers)
    if (layers := layers_at(asked)) is not None:
        save_layers(asked.stage, layers)
    told = {"engine": "vllm", "fault": one.kind, "strength": one.strength}
    save_trace(asked.stage, answers, eos_token_ids=asked.rendered.eos_token_ids, provenance=told, forced=True)


def _runner(worker: Any) -> Any:
    """Only of an engine in this process, whose objects need not be sent."""
    return worker.model_runner


def _silent(_phase: str, _done: int, _total: int) -> None:
    """The phases of one walk are not told."""
