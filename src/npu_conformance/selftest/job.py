"""The worker's side of a campaign: one engine, base's tokens forced under one fault after another."""

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from npu_conformance.engines.rendering import Rendered, load_rendered
from npu_conformance.engines.vllm.asking import prefill_part
from npu_conformance.engines.vllm.engine import close, lora_of, start
from npu_conformance.engines.vllm.engine_run import EngineRun
from npu_conformance.engines.vllm.generation import Generator, forced_request
from npu_conformance.engines.vllm.hidden_states import layers_at
from npu_conformance.engines.vllm.module_states import save_modules_of
from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import scratch_dir, staged_dir
from npu_conformance.selftest.catalogue import KINDS
from npu_conformance.selftest.live import Live
from npu_conformance.selftest.weights import loading
from npu_conformance.traces.layers import save_layers
from npu_conformance.traces.trace import Trace, load_trace, save_trace
from npu_conformance.workers.job import STARTING

if TYPE_CHECKING:
    from npu_conformance.workers.job import FaultsJob, Injection
    from npu_conformance.workers.worker import Progress


def run(job: "FaultsJob", progress: "Progress") -> None:
    """Leave a trace a fault, each beside base's in its folder.

    Faults of a running model share an engine; one of weights takes another.
    """
    if job.tokens_of is None:
        raise TraceError("a campaign of faults is made to take base's tokens, and is told of none")
    base, rendered, done = load_trace(job.tokens_of), load_rendered(job.rendered), 0
    for group in _engines(job.injections):
        progress(STARTING, done, len(job.injections))
        with _loading(group[0]):
            llm = start(job, job.options)
        live = Live(llm.collective_rpc(_runner)[0])
        for one in group:
            progress("forcing under faults", done, len(job.injections))
            kind = KINDS[one.kind]
            with nullcontext() if kind.loads else live.faulty(kind.change, one.strength):
                _leave(job, llm, base, rendered, one)
            done += 1
        close(llm)


def _engines(injections: Sequence["Injection"]) -> list[list["Injection"]]:
    """The faults of each engine."""
    running = [one for one in injections if not KINDS[one.kind].loads]
    return [*([running] if running else []), *([one] for one in injections if KINDS[one.kind].loads)]


def _loading(one: "Injection") -> AbstractContextManager[None]:
    kind = KINDS[one.kind]
    if kind.loads is None:
        return nullcontext()
    return loading(kind.change, one.strength, one_layer=kind.loads == "one layer")


def _leave(job: "FaultsJob", llm: Any, base: Trace, rendered: Rendered, one: "Injection") -> None:
    output = job.output / one.label / "candidate"
    output.parent.mkdir(parents=True, exist_ok=True)
    with staged_dir(output) as stage, scratch_dir(output) as scratch:
        _force(EngineRun(job, rendered, Generator(llm, scratch, _silent, lora_of(job)), stage), base, one)


def _force(asked: EngineRun, base: Trace, one: "Injection") -> None:
    requests = [forced_request(answer.prompt_ids, answer.token_ids) for answer in base.answers]
    forced = asked.generator.rows(one.label, requests)
    answers = asked.save([answer.prompt for answer in base.answers], forced, forced=True)
    if KINDS[one.kind].repeated:
        again = asked.generator.digests(one.label, requests)
        answers = [
            dataclasses.replace(answer, repeat_token_ids=tokens, repeat_digests=digests)
            for answer, (tokens, digests) in zip(answers, again, strict=True)
        ]
    prefill_part(asked, answers)
    if (layers := layers_at(asked)) is not None:
        save_layers(asked.stage, layers)
    save_modules_of(asked, answers)
    told = {"engine": "vllm", "fault": one.kind, "strength": one.strength}
    save_trace(asked.stage, answers, eos_token_ids=asked.rendered.eos_token_ids, provenance=told, forced=True)


def _runner(worker: Any) -> Any:
    """Only of an engine in this process, whose objects need not be sent."""
    return worker.model_runner


def _silent(_phase: str, _done: int, _total: int) -> None:
    """The phases of one forced decode are not told."""
