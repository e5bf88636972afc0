"""The candidate that is a server: asked for the run's prompts over HTTP, its likeliest tokens kept at each position."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.engines.openai.asked import Asked
from npu_conformance.engines.openai.asking import choose, take
from npu_conformance.engines.openai.client import Server
from npu_conformance.engines.openai.learning import learn
from npu_conformance.engines.openai.transport import ServerError, own_key
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.errors import JobError
from npu_conformance.machine.storage import staged_dir
from npu_conformance.traces.trace import Answer, load_trace, save_trace

if TYPE_CHECKING:
    from npu_conformance.workers.job import CandidateJob
    from npu_conformance.workers.worker import Progress

# Seconds of one answer, on a server that others may use too.
_SECONDS = 600.0


def run(job: "CandidateJob", progress: "Progress") -> None:
    """Ask the server what the job says, and leave a trace of likeliest tokens.

    Raises:
        JobError: the job names no server, or one that cannot be told from its LoRA's base.
        ServerError: it cannot be asked, or its answers cannot be judged.
        TraceError: the trace whose tokens are to be scored cannot be read.
    """
    if job.server is None:
        raise JobError("a candidate that is a server needs an address: --server http://HOST:PORT")
    rendered, started = load_rendered(job.rendered), time.monotonic()
    progress("asking what the server can do", 0, 0)
    server = Server(job.server, job.served_model, own_key(), _SECONDS)
    _require_named(server, job)
    learn(server, rendered.prompt_ids[0], tokenizer_file(job.checkpoint))
    with staged_dir(job.output) as stage:
        asked = Asked(job, rendered, server, stage, progress)
        answers = choose(asked) if job.tokens_of is None else take(asked, load_trace(job.tokens_of))
        _leave(stage, asked, answers, time.monotonic() - started)


def _require_named(server: Server, job: "CandidateJob") -> None:
    """Refuse to guess which of several models has the LoRA."""
    if job.adapter is not None and job.served_model is None and len(server.served) > 1:
        raise ServerError(
            f"{server.url}: serves {server.names}, and the model config has an adapter: name the one "
            "that is served with it, --served-model NAME, or served_model_name in the YAML"
        )


def _leave(stage: Path, asked: Asked, answers: list[Answer], seconds: float) -> None:
    server = asked.server
    can: dict[str, Any] = {
        "served_model": server.model,
        "prompts_as": "token ids" if server.form.ids else "text",
        "likeliest_tokens": server.form.top,
        "tokens_by": "text" if server.form.names is not None else "token ids",
        "prompt_log_probs": server.form.prompt_log_probs,
    }
    provenance = {
        "engine": asked.job.engine,
        "platform": "server",
        "device": f"a server ({server.kind or 'of an unknown kind'})",
        "versions": {},
        "asked": {"server": server.url, "served_model": server.model},
        "effective": {"dtype": asked.job.options.get("dtype"), **can},
        "observed": {"requests": asked.requests},
        "seconds": {"generate": round(seconds, 2)},
    }
    save_trace(
        stage,
        answers,
        eos_token_ids=asked.rendered.eos_token_ids,
        provenance=provenance,
        forced=asked.job.tokens_of is not None,
        rows="topk",
    )
