"""The candidate behind vLLM's server: started with the YAML's own options, or running already, asked, and ended."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.engines.openai.serving.adapters import first_positions, without_adapter
from npu_conformance.engines.openai.serving.asked import Asked
from npu_conformance.engines.openai.serving.crowd import CLIENTS, ask_crowd
from npu_conformance.engines.openai.serving.defaults import ask_defaults
from npu_conformance.engines.openai.serving.ends import ask_cuts, ask_stops
from npu_conformance.engines.openai.serving.mistakes import ask_mistakes, hang_up
from npu_conformance.engines.openai.serving.names import list_models, names_of
from npu_conformance.engines.openai.serving.prompts import read_prompts
from npu_conformance.engines.openai.serving.streams import stream_answers
from npu_conformance.engines.openai.serving.talk import Talk
from npu_conformance.engines.openai.transport import ServerError, own_key
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.machine.provenance import numeric_environment, package_versions
from npu_conformance.machine.storage import LOG_VARIABLE, staged_dir
from npu_conformance.traces.serving import Listed, Said, Served, save_served
from npu_conformance.traces.trace import Answer, save_trace
from npu_conformance.workers.job import CLOSING, STARTING
from npu_conformance.workers.log import log_length, log_since
from npu_conformance.workers.server import HOST, as_words, running

if TYPE_CHECKING:
    from npu_conformance.workers.job import ServingJob
    from npu_conformance.workers.worker import Progress

# Seconds of one answer, among others.
_SECONDS = 600.0
_CHATS = 8


def run(job: "ServingJob", progress: "Progress") -> None:
    """Ask the server all there is to ask, and leave a trace of its answers with a record of the rest.

    Raises:
        JobError: it does not come up, or ends while it is asked.
        ServerError: it cannot be asked, or gives no answer that can be judged.
    """
    started, log = time.monotonic(), log_length()
    if job.server is None:
        progress(STARTING, 0, 0)
    with _server(job) as url:
        ready = time.monotonic()
        asked, listed = _asked(job, url, progress)
        served = ask_all(job, asked, listed)
        provenance = _provenance(job, url, asked.name, ready - started, time.monotonic() - ready)
        with staged_dir(job.output) as stage:
            save_served(stage, served)
            if job.server is None:
                provenance |= log_since(log)
            _save(stage, job, asked, served, provenance)
        # The trace is whole: a server that hangs while it ends takes nothing of it along.
        progress(CLOSING, 0, 0)


def _server(job: "ServingJob") -> AbstractContextManager[str]:
    """The one that runs already, else one that is started here; what it says goes into this worker's log."""
    if job.server is not None:
        return nullcontext(job.server.rstrip("/").removesuffix("/v1"))
    for name in ("NO_PROXY", "no_proxy"):  # it is on this machine, whatever proxy this machine has
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
    log = Path(os.environ.get(LOG_VARIABLE) or job.output.parent / "server.txt")
    return running(serve_words(job), {}, log, seconds=job.ready)


def serve_words(job: "ServingJob") -> list[str]:
    """What `vllm serve` is told of a job: the model and the YAML's options, and the LoRA under its own name."""
    words = [str(job.checkpoint), *as_words(job.options), f"--served-model-name={job.base_name}"]
    words += ["--trust-remote-code"] if job.trust_remote_code else []
    return [*words, "--lora-modules", f"{job.served_model}={job.adapter}"] if job.adapter is not None else words


def _asked(job: "ServingJob", url: str, progress: "Progress") -> tuple[Asked, tuple[Listed, ...]]:
    talk = Talk(url, own_key(), _SECONDS)
    listed = list_models(talk)
    name, base = names_of(job, listed, url)
    return Asked(
        talk=talk,
        name=name,
        base=base,
        rendered=load_rendered(job.rendered),
        max_tokens=job.max_tokens,
        template=job.chat_template_kwargs,
        progress=progress,
        longest=next((one.max_model_len for one in listed if one.id == base), None),
    ), listed


def ask_all(job: "ServingJob", asked: Asked, listed: tuple[Listed, ...]) -> Served:
    """Ask a server what shows that it serves the model that was judged."""
    answers = _each("asking, one request at a time", asked, range(len(asked.rendered.prompts)), asked.completion)
    chat = _each("asking in the chat", asked, asked.chats[:_CHATS], asked.chat)
    crowd, repeated = ask_crowd(asked)
    return Served(
        model=asked.base,
        adapter=asked.name if asked.adapted else None,
        listed=listed,
        answers=answers,
        chat=chat,
        read=tuple(read_prompts(asked, job.checkpoint, job.trust_remote_code)),
        defaults=ask_defaults(asked, job.checkpoint, job.options),
        streams=tuple(stream_answers(asked, answers, chat)),
        stops=tuple(ask_stops(asked, answers)),
        cuts=tuple(ask_cuts(asked, answers)),
        firsts=tuple(first_positions(asked)),
        without_adapter=tuple(without_adapter(asked, answers)),
        clients=CLIENTS,
        crowd=crowd,
        repeated=repeated,
        refused=tuple(ask_mistakes(asked)),
        hung_up=hang_up(asked),
    )


def _each(phase: str, asked: Asked, indices: "range | list[int]", ask: Callable[[int], Said]) -> tuple[Said, ...]:
    found = []
    for done, index in enumerate(indices):
        asked.progress(phase, done, len(indices))
        found.append(ask(index))
    return tuple(found)


def _provenance(job: "ServingJob", url: str, name: str, start: float, took: float) -> dict[str, Any]:
    return {
        "engine": "openai",
        "platform": "server",
        "device": "vLLM's server" + ("" if job.server is None else ", which ran already"),
        "versions": package_versions() if job.server is None else {},
        "asked": {"server": url if job.server is not None else "started here", "served_model": name}
        | (job.options if job.server is None else {}),
        "environment": numeric_environment(job.envs) if job.server is None else {},
        "effective": {"dtype": job.options.get("dtype")},
        "observed": {},
        "seconds": {"start": round(start, 2), "generate": round(took, 2)},
    }


def _save(stage: Path, job: "ServingJob", asked: Asked, served: Served, provenance: dict[str, Any]) -> None:
    """The answers as a trace of tokens.

    Raises:
        ServerError: it does not tell its tokens.
    """
    file = tokenizer_file(job.checkpoint)
    answers = []
    for said, ids in zip(served.answers, asked.rendered.prompt_ids, strict=True):
        if said.token_ids is None:
            raise ServerError(f"{asked.talk.url}: {said.prompt}: does not tell the ids of its tokens: is it vLLM's?")
        decoded = file.text(said.token_ids) if file else None
        one = Answer(said.prompt, ids, said.token_ids, said.text, decoded=decoded, finish_reason=said.finish_reason)
        answers.append(one)
    save_trace(stage, answers, eos_token_ids=asked.rendered.eos_token_ids, provenance=provenance)
