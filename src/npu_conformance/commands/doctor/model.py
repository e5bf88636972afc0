"""A model: its weights, their format, the devices, memory and disk it needs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from npu_conformance.audit.published import why_unreadable
from npu_conformance.checkpoints.adapters.config import FILE as ADAPTER
from npu_conformance.checkpoints.adapters.inspect import examine_adapter
from npu_conformance.checkpoints.checkpoint import Checkpoint, some, weight_bytes
from npu_conformance.checkpoints.checkpoint import Finding as CheckpointFinding
from npu_conformance.checkpoints.config_values import value_findings
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.small_files import has_template
from npu_conformance.checkpoints.subject import find_weights
from npu_conformance.commands.doctor.adapter import adapter_area
from npu_conformance.commands.doctor.checkpoint import (
    area_finding,
    checkpoint_area,
    unread_tokenizer,
    unreadable,
    with_findings,
)
from npu_conformance.commands.doctor.digests import with_digests
from npu_conformance.commands.doctor.findings import Area, Finding, Level
from npu_conformance.commands.doctor.machine import Host
from npu_conformance.commands.plan.forecast import forecast
from npu_conformance.commands.plan.totals import shortages, totals
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.notes import ON_NPU
from npu_conformance.config.prompts import load_prompts
from npu_conformance.config.variants import JUDGED, ranks
from npu_conformance.conversion.plan import refuse_unconvertible
from npu_conformance.errors import CheckpointError, ConformanceError, PlanError, WeightsError
from npu_conformance.machine.capacity import GIB
from npu_conformance.run.chat import untemplated
from npu_conformance.run.lacking import lacking
from npu_conformance.run.older_transformers import too_new
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.run.subjects import reference_python
from npu_conformance.twins import called
from npu_conformance.workers.progress import Narrator

# Of those that vLLM-Ascend loads, those an A2 or A3 has no arithmetic for: "for FP8 you will need the A5, for A2/A3
# it's a no go" (vllm-project/vllm-ascend issue 1526).
_A5_ONLY = ("fp8", "deepseek_v4_fp8")
_A5 = ("950", "A5")
# vLLM passes tensors between ranks through it; Docker's own default is 64 MiB, installation.html asks for 1 GiB.
_SHARED = GIB
_LONG, _STATE = "long_prompt", ".A_log"
"""The decay of a state: of gated delta nets and of Mamba."""
_PLAN = "`pytest --conformance-plan` has the figures of each step"
# Of plan/totals.py's lines: words, level, remedy, or none where the line ends with it. That a reference is refused is
# certain, the others are estimates.
_TOO_LITTLE: tuple[tuple[str, Level, str], ...] = (
    ("would be refused", "error", ""),
    ("GiB of memory", "warning", f"free some; on a CPU VLLM_CPU_KVCACHE_SPACE bounds an engine's share; {_PLAN}"),
    ("", "warning", _PLAN),
)


@dataclass(frozen=True)
class Model:
    """A model config and where it is from."""

    name: str
    path: Path
    config: ModelConfig


def model_areas(model: Model, settings: Settings, host: Host, device_name: str | None) -> list[Area]:
    """Everything about a model.

    Args:
        model: which.
        settings: where its weights and configs are.
        host: where to look.
        device_name: what npu-smi calls the NPUs here.
    """
    weights, candidate = _weights_areas(model.config, settings)
    areas = [_config_area(model, host), *weights]
    if candidate is not None and not has_template(candidate.folder):
        areas += _chat_area(model.config, settings)
    if candidate is not None:
        found = _format(model.config, candidate, host, device_name) + _rounded(model.config, candidate)
        if not value_findings(candidate.config):
            found += _long_texts(model.config, candidate, host)
        areas += [Area("format", _format_facts(candidate), tuple(found))]
    return [*areas, _cost_area(model, settings, host)]


def _config_area(model: Model, host: Host) -> Area:
    config = model.config
    facts = {
        "config": str(model.path),
        "model": config.model,
        "dtype": config.serve.dtype,
        "devices it needs": str(ranks(config.options("as_served"))),
        "meant for": config.hardware or "not said",
        "stand-in": called(config.recipe) if config.recipe else "none",
    }
    findings = [_variant(config, variant, host) for variant in config.variant_names]
    if config.serve.trust_remote_code:
        found = "the config asks to run code that comes with the weights"
        findings.append(Finding("note", found, "that you trust it", "run pytest with --trust-remote-code if you do"))
    if ranks(config.options("as_served")) > 1 and (shared := host.dev / "shm").is_dir() and host.disk(shared) < _SHARED:
        found = f"{host.disk(shared) / GIB:.2f} GiB are free in {shared}"
        remedy = "start the container with `--shm-size=1g` or more"
        findings.append(Finding("warning", found, "1 GiB, through which several ranks talk", remedy))
    return Area("model", facts, tuple(finding for finding in findings if finding is not None))


def _variant(config: ModelConfig, variant: str, host: Host) -> Finding | None:
    """A variant that this machine cannot run; one that is always judged is an error."""
    reason = lacking(config, variant, host.device, lambda: None)
    if reason is None:
        return None
    judged = variant in JUDGED
    remedy = "use a machine with more devices, or lower tensor_parallel_size" if judged else "nothing: it is skipped"
    return Finding("error" if judged else "note", reason, "a machine that has what the variant needs", remedy)


def _weights_areas(config: ModelConfig, settings: Settings) -> tuple[list[Area], Checkpoint | None]:
    """The weights as they were found, and the candidate's where they can be read."""
    wanted = {"weights": config.model}
    if config.reference.model is not None:
        wanted["reference weights"] = config.reference.model
    areas, candidate = [], None
    published = "weights" if config.reference.model is None else "reference weights"
    # A run that has to trust code refuses to start without the option, and says so.
    settings = replace(settings, trust_remote_code=config.serve.trust_remote_code)
    for name, hub_id in wanted.items():
        area, checkpoint = _weights_area(name, hub_id, settings, (name == "weights", name == published))
        areas.append(area)
        candidate = checkpoint if name == "weights" else candidate
    if config.adapter is not None:
        areas.append(_adapter_area(config, config.adapter, candidate, settings))
    return areas, candidate


def _weights_area(
    name: str, hub_id: str, settings: Settings, read_by: tuple[bool, bool]
) -> tuple[Area, Checkpoint | None]:
    """Weights as they were found, read by the engine, by the reference or by both; and the checkpoint."""
    try:
        checkpoint, told = with_digests(examine(find_weights(hub_id, settings.models_root)))
        checkpoint = with_findings(checkpoint, _read_by(checkpoint, settings, *read_by))
    except (WeightsError, CheckpointError) as error:
        return _nothing_to_examine(name, hub_id, "config.json", error), None
    area = checkpoint_area(checkpoint, name)
    size = f"{weight_bytes(checkpoint) / GIB:.2f} GiB"
    facts = {"model": hub_id, **area.facts, "size": size, "published digests": told}
    return Area(name, facts, area.findings), checkpoint


def _adapter_area(config: ModelConfig, hub_id: str, base: Checkpoint | None, settings: Settings) -> Area:
    try:
        folder = find_weights(hub_id, settings.models_root, ADAPTER)
        area = adapter_area(examine_adapter(folder, base, model=config.model, options=config.options("as_served")))
    except (WeightsError, CheckpointError) as error:
        return _nothing_to_examine("adapter", hub_id, ADAPTER, error)
    return Area("adapter", {"model": hub_id, **area.facts}, area.findings)


def _nothing_to_examine(name: str, hub_id: str, marker: str, error: WeightsError | CheckpointError) -> Area:
    if isinstance(error, CheckpointError):
        return Area(name, {"model": hub_id}, (unreadable(error),))
    remedy = "download it, name its folder with --models-root, or run the stand-in with `pytest --twin`"
    found = str(error).split(";")[0]
    return Area(name, {"model": hub_id}, (Finding("error", found, f"a folder with {marker}", remedy),))


def _read_by(
    checkpoint: Checkpoint, settings: Settings, engine: bool, reference: bool
) -> Iterator[CheckpointFinding | None]:
    """What the engine's transformers does not read of a checkpoint, and the reference's where it is another one."""
    yield unread_tokenizer(checkpoint)
    if engine:
        yield too_new(checkpoint, None, "the engine's")
    if not reference:
        return
    if (why := why_unreadable(checkpoint)) is not None:
        yield CheckpointFinding("error", "reference", why)
    try:
        python = reference_python(checkpoint.folder, settings)
    except PlanError as error:
        yield CheckpointFinding("error", "config.json", str(error))
        return
    if python is not None or not engine:
        yield too_new(checkpoint, python, "the reference's")


def _format_facts(checkpoint: Checkpoint) -> dict[str, str]:
    dtypes = sorted({tensor.dtype for tensor in checkpoint.tensors.values()})
    method = checkpoint.quantisation.get("quant_method")
    return {"stored as": ", ".join(dtypes) + (f", quantised by {method}" if method else "")}


def _format(config: ModelConfig, checkpoint: Checkpoint, host: Host, device_name: str | None) -> list[Finding]:
    """A format that the NPU it is meant for cannot load."""
    method = checkpoint.quantisation.get("quant_method")
    meant = device_name or config.hardware or ("an NPU" if host.platform[0] == "npu" else "")
    on_npu = host.platform[0] == "npu" or any(word in meant for word in ("Atlas", "Ascend", "NPU"))
    if method is None or config.convert is not None or not on_npu:
        return []
    if method in ON_NPU and not (method in _A5_ONLY and not any(word in meant for word in _A5)):
        return []
    found = f"weights quantised by {method}, for {meant}"
    expected = "plain weights, compressed-tensors or ModelSlim, which vllm-ascend has kernels for there"
    remedy = _plain_weights(config, checkpoint)
    return [Finding("error", found, expected, remedy)]


def _rounded(config: ModelConfig, checkpoint: Checkpoint) -> list[Finding]:
    """Weights of float16 that are served in bfloat16 lose three bits each; the reference has them as published."""
    stored = {tensor.dtype for tensor in checkpoint.tensors.values()}
    if config.serve.dtype != "bfloat16" or checkpoint.announced is not None or "F16" not in stored or "BF16" in stored:
        return []
    found = "weights stored as float16, and served in bfloat16, which rounds them"
    return [Finding("note", found, "the dtype that they are published in", "write `dtype: float16` under serve")]


def _long_texts(config: ModelConfig, checkpoint: Checkpoint, host: Host) -> list[Finding]:
    """A state that is carried over the whole text goes wrong from a length on, which short prompts never reach."""
    stateful = "linear_attention" in (checkpoint.text_config.get("layer_types") or ())
    stateful = stateful or any(name.endswith(_STATE) for name in checkpoint.tensors)
    if not stateful or _LONG in config.variant_names or lacking(config, _LONG, host.device, lambda: checkpoint):
        return []
    found = f"linear attention, and {_LONG} is not judged"
    expected = "texts of more than 1,000 and 4,000 tokens, at which its state has gone through many chunks"
    return [Finding("note", found, expected, f"add {_LONG} to variants in the YAML")]


def _plain_weights(config: ModelConfig, checkpoint: Checkpoint) -> str:
    """How the model is had unquantised."""
    try:
        refuse_unconvertible(checkpoint, config.serve.dtype)
    except CheckpointError as error:
        return f"serve the original weights; `convert` does not take these ({error})"
    return f"`convert: {config.serve.dtype}` in the YAML, or `npu-conformance dev convert SRC DST`"


def _chat_area(config: ModelConfig, settings: Settings) -> list[Area]:
    """Of a model without a chat template."""
    try:
        found = untemplated(config, load_prompts(config.prompts, settings.prompts_dir))
    except ConformanceError:  # `check` tells of the sets
        return []
    return [] if found is None else [Area("prompts", {}, (area_finding(found, "a chat template"),))]


def _cost_area(model: Model, settings: Settings, host: Host) -> Area:
    """What a run takes, by the suite's own forecast; nothing is started for it."""
    session = Session(settings, host.reports / "doctor", Narrator())
    try:
        runnable = [one for one in model.config.variant_names if session.why_not(model.name, one) is None]
        found = forecast(session, {model.name: runnable})
    except ConformanceError as error:
        return Area("a run", {"forecast": f"none: {error}"})
    if found.broken or not found.steps:
        return Area("a run", {"forecast": "none without its weights"})
    whole = totals(found, host.cache, host.reports)
    facts = {
        "variants": ", ".join(runnable),
        "memory": f"{whole.memory / GIB:.1f} GiB at most",
        "disk": f"{whole.cache / GIB:.2f} GiB in {host.cache}, {whole.reports / GIB:.2f} GiB in {host.reports}",
    }
    return Area("a run", facts, tuple(_shortages(shortages(found, host.cache, host.reports))))


def _shortages(lines: list[str]) -> list[Finding]:
    """What this machine has too little of, each kind once: variants of one model lack the same."""
    findings = []
    for words, level, remedy in _TOO_LITTLE:
        matching = [line for line in lines if words in line]
        lines = [line for line in lines if words not in line]
        if matching and not remedy:
            matching[0], _, remedy = matching[0].rpartition(": ")
        if matching:
            findings.append(Finding(level, some(matching), "a machine that has it", remedy))
    return findings
