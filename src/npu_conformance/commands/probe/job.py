"""The worker's side of a probe: one engine, asked piece by piece; a piece that fails is noted, the others go on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.adapters.config import lora_options
from npu_conformance.commands.probe.adapter import write_adapter
from npu_conformance.commands.probe.asking import PIECES, Engine, generate_until_killed, wait_to_be_measured
from npu_conformance.commands.probe.seen import Seen
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.engines.vllm.engine import close, effective, lora_of, start
from npu_conformance.engines.vllm.engine_run import EngineRun
from npu_conformance.engines.vllm.generation import Generator
from npu_conformance.errors import ConformanceError
from npu_conformance.machine.storage import scratch_dir, write_text
from npu_conformance.workers.job import CLOSING, STARTING

if TYPE_CHECKING:
    from npu_conformance.workers.job import ProbeJob
    from npu_conformance.workers.worker import Progress


def run(job: "ProbeJob", progress: "Progress") -> None:
    """Start the engine, ask it, and leave what was seen.

    Raises:
        CheckpointError: no LoRA can be made for the checkpoint.
        JobError: the platform is not the one asked for.
    """
    rendered = load_rendered(job.rendered)
    with scratch_dir(job.output) as scratch:
        if "lora" in job.pieces:
            job = _with_adapter(job, scratch / "probe-lora")
        progress(STARTING, 0, 0)
        llm = start(job, job.options)
        asked = EngineRun(job, rendered, Generator(llm, scratch, progress, lora_of(job)), scratch)
        engine = Engine(asked, job.output.with_name("first_rows.npy"), job.output.with_suffix(".measured"))
        if "killed" in job.pieces:
            generate_until_killed(engine)
        seen = _seen(engine)
        if "held" in job.pieces:
            wait_to_be_measured(engine)
        write_text(job.output, seen.model_dump_json(indent=1))
        progress(CLOSING, 0, 0)
        close(llm)


def _seen(engine: Engine) -> Seen:
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, ask in PIECES.items():
        if name in engine.asked.job.pieces:  # type: ignore[attr-defined]
            try:
                found[name] = ask(engine)
            except ConformanceError as error:
                errors[name] = str(error)
            except Exception as error:  # whatever breaks in an engine is this piece's finding
                errors[name] = f"{type(error).__name__}: {error}"
    told = effective(engine.asked.generator.llm, {})
    return Seen(platform=told["platform"], device=told["device"], errors=errors, **found)


def _with_adapter(job: "ProbeJob", folder: Path) -> "ProbeJob":
    write_adapter(job.checkpoint, folder)
    return job.model_copy(update={"adapter": folder, "options": lora_options(folder) | job.options})
