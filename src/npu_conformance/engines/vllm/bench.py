"""The worker's side of a measurement of speed: vLLM's own `vllm bench`, as a process, whose JSON is read.

The engine is vLLM's own in its own processes, with nothing of ours in it: no capture, and none of the settings that
make a judged run repeatable.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from npu_conformance.config.performance import PERCENTILES, Workload
from npu_conformance.engines.vllm.bench_results import latency, served, throughput
from npu_conformance.engines.vllm.started_log import started
from npu_conformance.errors import JobError
from npu_conformance.machine.storage import LOG_VARIABLE, write_text
from npu_conformance.traces.performance import Bench, Figure
from npu_conformance.traces.reading import read_saved
from npu_conformance.workers.job import CLOSING, STARTING
from npu_conformance.workers.server import VLLM, as_words, running

if TYPE_CHECKING:
    from npu_conformance.workers.job import BenchJob
    from npu_conformance.workers.worker import Progress

_WRITTEN = TypeAdapter(dict[str, Any])
_POLL = 0.1
WARMUPS = 2
"""Requests of a tool that do not count."""
# Other random prompts for each run, which a prefix cache would have of the one before; the second may not see the
# first's.
_SEEDS = {"single": 1, "loaded": 2}


def run(job: "BenchJob", progress: "Progress") -> None:
    """Run the job's tool, and leave its figures.

    Raises:
        JobError: the tool or the server ended with an error, or left something of another form.
        TraceError: what it left cannot be read.
    """
    # As vLLM is served: see `run`'s candidates for what a judged engine has instead.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    tools: dict[str, Callable[[BenchJob, Progress], Bench]] = {
        "latency": _latency,
        "throughput": _throughput,
        "serve": _serve,
    }
    found = tools[job.tool](job, progress)
    write_text(job.output, found.model_dump_json(indent=1))


def _latency(job: "BenchJob", progress: "Progress") -> Bench:
    asked = job.workload
    # It repeats one prompt, so that it has prefix caching off unless it is told otherwise.
    options = {name: value for name, value in job.options.items() if name != "enable_prefix_caching"}
    words = [
        "latency",
        *_engine(job, options),
        "--batch-size=1",
        f"--input-len={asked.input_tokens}",
        f"--output-len={asked.output_tokens}",
        f"--num-iters-warmup={WARMUPS}",
        f"--num-iters={asked.iterations}",
    ]
    found = _offline(words, progress)
    return Bench(figures=latency(found), command=(_typed(words),))


def _throughput(job: "BenchJob", progress: "Progress") -> Bench:
    words = ["throughput", *_engine(job, job.options), *_random(job.workload), "--seed=0"]
    words += [] if job.adapter is None else [f"--lora-path={job.adapter}"]
    found = _offline(words, progress)
    return Bench(figures=throughput(found, job.workload), command=(_typed(words),))


def _offline(words: Sequence[str], progress: "Progress") -> dict[str, Any]:
    """What a tool with an engine of its own writes."""
    output = _beside_log(f"{words[0]}.json")
    _bench([*words, f"--output-json={output}"], output, progress)
    return _read(output)


def _serve(job: "BenchJob", progress: "Progress") -> Bench:
    """One server, asked twice: one request at a time, and several."""
    log, name = _beside_log("server.log"), "base" if job.adapter is None else "lora"
    words = [str(job.checkpoint), *as_words(job.options), "--served-model-name=base"]
    words += ["--trust-remote-code"] if job.trust_remote_code else []
    words += [] if job.adapter is None else ["--lora-modules", f"lora={job.adapter}"]
    progress(STARTING, 0, 0)
    began = time.monotonic()
    figures: dict[str, Figure] = {}
    commands = [shlex.join(["vllm", "serve", *words])]
    with running(words, {}, log, seconds=job.ready) as url:
        figures["start_s"] = Figure(value=round(time.monotonic() - began, 2), n=1)
        for run_name, at_once in (("single", 1), ("loaded", job.workload.concurrency)):
            asked = ["serve", *_client(job, name, run_name, at_once), f"--base-url={url}"]
            output = _beside_log(f"{run_name}.json")
            progress(f"vllm bench serve, {at_once} at a time", 0, 0)
            _bench([*asked, f"--result-dir={output.parent}", f"--result-filename={output.name}"], output, progress)
            figures |= served(run_name, _read(output), job.workload)
            commands.append(_typed(asked))
        figures |= {key: Figure(value=value, n=1) for key, value in started(log).items()}
        progress(CLOSING, 0, 0)
    return Bench(figures=figures, command=tuple(commands))


def _client(job: "BenchJob", served_name: str, run_name: str, at_once: int) -> list[str]:
    return [
        f"--model={job.checkpoint}",
        f"--served-model-name={served_name}",
        *(["--trust-remote-code"] if job.trust_remote_code else []),
        *_random(job.workload),
        f"--max-concurrency={at_once}",
        f"--seed={_SEEDS[run_name]}",
        f"--num-warmups={WARMUPS}",
        "--ignore-eos",
        "--temperature=0",
        "--percentile-metrics=ttft,tpot,e2el",
        f"--metric-percentiles={','.join(map(str, PERCENTILES))}",
        "--disable-tqdm",
        "--save-result",
    ]


def _random(asked: Workload) -> list[str]:
    return [
        "--dataset-name=random",
        f"--random-input-len={asked.input_tokens}",
        f"--random-output-len={asked.output_tokens}",
        f"--num-prompts={asked.requests}",
    ]


def _engine(job: "BenchJob", options: dict[str, Any]) -> list[str]:
    trusted = ["--trust-remote-code"] if job.trust_remote_code else []
    return [f"--model={job.checkpoint}", *as_words(options), *trusted]


def _bench(words: Sequence[str], output: Path, progress: "Progress") -> None:
    """Run a tool to its end, its text in this worker's log."""
    offline = words[0] != "serve"
    if offline:
        progress(f"vllm bench {words[0]}", 0, 0)
    process = subprocess.Popen([sys.executable, *VLLM, "bench", *words], stdin=subprocess.DEVNULL)
    while process.poll() is None:
        if offline and output.is_file():
            progress(CLOSING, 0, 0)  # its engine's processes end before itself
        time.sleep(_POLL)
    if process.returncode != 0 or not output.is_file():
        log = os.environ.get(LOG_VARIABLE, "its log")
        raise JobError(f"{_typed(words)}: ended with exit status {process.returncode}: see {log}")


def _typed(words: Sequence[str]) -> str:
    return shlex.join(["vllm", "bench", *words])


def _beside_log(name: str) -> Path:
    """A file in the folder of this worker's log, which a run keeps."""
    return Path(os.environ[LOG_VARIABLE]).with_name(name)


def _read(path: Path) -> dict[str, Any]:
    return read_saved(path, _WRITTEN, "its log may say why")
