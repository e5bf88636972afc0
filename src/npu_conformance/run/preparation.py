"""From the weights of a subject to what engines may load: inspected, converted, audited, its prompts rendered.

What is costly is kept in the cache under a digest of everything it depends on, so that it is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.published import require_readable, why_unreadable
from npu_conformance.audit.scan import Scan
from npu_conformance.checkpoints.adapters.inspect import inspect_adapter
from npu_conformance.checkpoints.inputs import read_inputs
from npu_conformance.checkpoints.inspect import Checkpoint, Finding, inspect, weight_bytes
from npu_conformance.checkpoints.longrope import longrope_warning
from npu_conformance.checkpoints.modelslim import is_modelslim, schemes
from npu_conformance.checkpoints.published_digests import compare_digests, digest_findings
from npu_conformance.checkpoints.quantised.activations import activations
from npu_conformance.checkpoints.subject import Subject, folder_digest
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.engines.rendering import check_token_ids, load_rendered
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.cache import AUDITS, CONVERTED, REFERENCES, SCANS, touch
from npu_conformance.machine.locks import locked
from npu_conformance.machine.storage import cache_dir, digest, write_text
from npu_conformance.run.chat import untemplated
from npu_conformance.run.cost import reference_cost, refuse_what_cannot_fit
from npu_conformance.run.deadlines import reading_deadline
from npu_conformance.run.made_by import cached_at
from npu_conformance.run.older_transformers import too_new
from npu_conformance.workers.job import AuditJob, ConvertJob, RenderJob, ScanJob
from npu_conformance.workers.jobs import Jobs

_RENDER_DEADLINE = 300
Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True)
class Prepared:
    """A subject that engines may load."""

    candidate: Checkpoint
    reference: Checkpoint
    adapter: Path | None
    findings: tuple[Finding, ...]
    """What is worth knowing of the checkpoints, none of it an error."""
    scan: Scan
    """Of the candidate's weights."""
    published_scan: Scan
    """Of the reference's."""
    audit: Audit | None
    """The candidate's weights against the published ones; None where they are the same files."""
    lengths: tuple[tuple[int, int], ...] = ()
    """Tokens of each prompt and of its longest answer."""

    @cached_property
    def quantised(self) -> bool:
        """Whether the engine quantises what enters its layers, and floor runs can do so too."""
        return quantises(self.candidate)


def prepare(
    config: ModelConfig,
    subject: Subject,
    prompts: Sequence[Prompt],
    traces: Path,
    jobs: Jobs,
    *,
    scored: bool = True,
    candidate_adapter: Path | None = None,
) -> Prepared:
    """Inspect, convert where the config says so, and render the prompts to `traces/rendered.json`.

    Args:
        config: of the model.
        subject: its weights.
        prompts: to render.
        traces: the model's folder of traces.
        jobs: of the run.
        scored: whether the reference is to run here, which must then fit.
        candidate_adapter: a LoRA that the engine loads in place of the subject's.

    Raises:
        CheckpointError: a checkpoint or an adapter is damaged, or its config and weights disagree.
        JobError: a job failed.
        PlanError: the reference cannot fit on this machine.
    """
    reference = inspect(subject.reference)
    if scored:
        require_readable(reference)
        _require_older(reference, subject.python, "the reference's")
    changed = _changed(*(folder for folder in (subject.reference, subject.candidate, subject.adapter) if folder))
    published = _scan(reference, subject.name, jobs)
    candidate, scan = reference, published
    if subject.candidate is None:
        candidate = inspect(_convert(config, subject, reference, jobs))
    elif subject.candidate != subject.reference:
        candidate = inspect(subject.candidate)
    if candidate is not reference:
        scan = _scan(candidate, subject.name, jobs)
    _require_older(candidate, None, "the engine's")
    _check_scheme(config, candidate)
    adapters = adapter_findings(config, (subject.adapter, candidate_adapter), candidate)
    rendered = traces / "rendered.json"
    job = RenderJob(
        output=rendered,
        checkpoint=reference.folder,
        prompts=tuple(prompts),
        chat_template_kwargs=config.chat_template_kwargs,
        trust_remote_code=config.serve.trust_remote_code,
    )
    jobs.run(job, f"{subject.name}: prompts", _RENDER_DEADLINE, environment=jobs.on_the_host(), python=subject.python)
    asked = load_rendered(rendered)
    check_token_ids(reference, asked)
    chat = untemplated(config, [one for one, done in zip(asked.prompts, asked.chat, strict=True) if not done])
    if chat is not None and chat.level == "error":
        raise CheckpointError(f"{reference.folder}: {chat}")
    lengths = tuple(zip(map(len, asked.prompt_ids), asked.lengths(config.max_tokens), strict=True))
    if scored:
        _plan(reference, lengths, jobs)
    rope = longrope_warning(candidate.text_config, config.serve.max_model_len)
    findings = [
        *changed,
        *published.findings,
        *(scan.findings if scan is not published else ()),
        *(one for one in (rope, chat) if one is not None),
        *adapters,
    ]
    return Prepared(
        candidate=candidate,
        reference=reference,
        adapter=subject.adapter,
        findings=tuple(dict.fromkeys(findings)),
        scan=scan,
        published_scan=published,
        # Of a quantised candidate with another reference no weight is the reference's.
        audit=None if candidate is reference or config.reference.model else _audit(reference, candidate, subject, jobs),
        lengths=lengths,
    )


def adapter_findings(
    config: ModelConfig, adapters: Sequence[Path | None], checkpoint: Checkpoint
) -> tuple[Finding, ...]:
    """What is worth knowing of the adapters that an engine loads on top of a checkpoint.

    Raises:
        CheckpointError: vLLM would refuse one, leave it out, or apply another than PEFT does.
    """
    options = config.options("as_served")
    folders = [folder for folder in adapters if folder is not None]
    return tuple(one for folder in folders for one in inspect_adapter(folder, checkpoint, config.model, options))


def quantises(checkpoint: Checkpoint) -> bool:
    """Whether an engine quantises what enters a checkpoint's layers, in a way that is computed here too."""
    return bool(activations(checkpoint)) and why_unreadable(checkpoint) is None


def save_prepared(prepared: Prepared, traces: Path) -> None:
    """Leave what was found of the weights in the model's folder of traces."""
    write_text(traces / "scan.json", prepared.scan.model_dump_json(indent=1))
    inputs = read_inputs(prepared.candidate, prepared.reference)
    write_text(traces / "inputs.json", inputs.model_dump_json(indent=1))
    if prepared.audit is not None:
        write_text(traces / "audit.json", prepared.audit.model_dump_json(indent=1))


def _changed(*folders: Path) -> list[Finding]:
    """Small files of these folders that are not the published ones.

    Raises:
        CheckpointError: weights are not.
    """
    found = []
    for folder in dict.fromkeys(folders):
        for finding in digest_findings(folder, compare_digests(folder, "all")):
            if finding.level == "error":
                raise CheckpointError(f"{folder}: {finding}")
            found.append(finding)
    return found


def _require_older(checkpoint: Checkpoint, python: Path | None, whose: str) -> None:
    """Refuse a checkpoint that is newer than the transformers that is to read it.

    Raises:
        CheckpointError: it is.
    """
    if (finding := too_new(checkpoint, python, whose)) is not None:
        raise CheckpointError(f"{checkpoint.folder}: {finding}")


def _check_scheme(config: ModelConfig, candidate: Checkpoint) -> None:
    """Hold the config's scheme against what the checkpoint's own description says.

    Raises:
        CheckpointError: most of its quantised weights are of another.
    """
    if config.scheme is None or not is_modelslim(candidate.folder):
        return
    found = {name: count for name, count in schemes(candidate.folder).items() if name != "FLOAT"}
    most = max(found, key=lambda name: found[name], default="FLOAT")
    if not most.lower().startswith(config.scheme):
        raise CheckpointError(
            f"{candidate.folder}: the model config says scheme {config.scheme}, by its quant_model_description.json "
            f"most weights are {most}: correct scheme, for limits go by it"
        )


def _plan(reference: Checkpoint, lengths: Sequence[tuple[int, int]], jobs: Jobs) -> None:
    """Say what the reference will cost at most, and refuse what cannot fit before any engine starts."""
    cost = reference_cost(reference, list(lengths))
    refuse_what_cannot_fit(cost, cache_dir() / REFERENCES)
    jobs.narrator.say(str(cost))


def _convert(config: ModelConfig, subject: Subject, reference: Checkpoint, jobs: Jobs) -> Path:
    """The reference's weights as plain ones of the config's dtype."""
    key = digest([folder_digest(subject.reference), config.convert])
    folder = cached_at(CONVERTED, f"{subject.name}-{key}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock"), "converts the same weights", jobs.narrator.say):
        if folder.is_dir():
            touch(folder)
        else:
            job = ConvertJob(output=folder, source=subject.reference, dtype=config.convert or config.serve.dtype)
            deadline = reading_deadline(weight_bytes(reference))
            jobs.run(job, f"{subject.name}: converting", deadline, environment=jobs.on_the_host())
    return folder


def _scan(checkpoint: Checkpoint, name: str, jobs: Jobs) -> Scan:
    """What the weights show.

    Raises:
        CheckpointError: they cannot be those of a model.
    """
    output = cached_at(SCANS, digest([folder_digest(checkpoint.folder)])).with_suffix(".json")
    job = ScanJob(output=output, checkpoint=checkpoint.folder)
    scan = _cached(job, f"{name}: reading weights", Scan, jobs, weight_bytes(checkpoint))
    errors = [finding for finding in scan.findings if finding.level == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        raise CheckpointError(f"{checkpoint.folder}: {errors[0]}{more}")
    return scan


def _audit(reference: Checkpoint, candidate: Checkpoint, subject: Subject, jobs: Jobs) -> Audit:
    output = cached_at(AUDITS, digest([folder_digest(reference.folder), folder_digest(candidate.folder)]))
    job = AuditJob(output=output.with_suffix(".json"), source=reference.folder, candidate=candidate.folder)
    size = weight_bytes(reference) + weight_bytes(candidate)
    return _cached(job, f"{subject.name}: comparing weights", Audit, jobs, size)


def _cached(job: ScanJob | AuditJob, name: str, result: type[Result], jobs: Jobs, size: int) -> Result:
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with locked(job.output.with_suffix(".lock"), "reads the same weights", jobs.narrator.say):
        if job.output.is_file():
            touch(job.output)
        else:
            jobs.run(job, name, reading_deadline(size), environment=jobs.on_the_host())
    return result.model_validate_json(job.output.read_bytes())
