"""What a report shows besides verdicts: the model, the runs, and a row a prompt. Saved by whoever judged.

Saved as files in the run's folder, because with several pytest workers it is another process that reports.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from npu_conformance.audit.audit import Audit
from npu_conformance.checkpoints.inspect import Checkpoint, weight_bytes
from npu_conformance.checkpoints.scan import Scan
from npu_conformance.checkpoints.statistics import TensorStatistics
from npu_conformance.config import Limit, ModelConfig
from npu_conformance.conversion.convert import RECORD
from npu_conformance.evidence import Evidence
from npu_conformance.layer_table import LayerRow, layer_table
from npu_conformance.metrics import METRICS_VERSION
from npu_conformance.report.findings import (
    BatchRow,
    Distances,
    Paths,
    SameAnswers,
    batches,
    changes_in_words,
    distances,
    paths,
    same_answers,
)
from npu_conformance.report.part import Part
from npu_conformance.report.prompt_rows import LabelRow, PromptRow, label_rows, prompt_rows
from npu_conformance.run.preparation import Prepared
from npu_conformance.storage import digest, write_text
from npu_conformance.subject import Subject, folder_digest
from npu_conformance.variants import JUDGED


class VariantDetails(Part):
    """One variant of a model."""

    variant: str
    candidate: dict[str, Any]
    """Provenance of the candidate's trace: engine, device, versions, options asked and effective, timings."""
    reference: dict[str, Any]
    """Provenance of the reference's trace."""
    metrics_version: int
    changes: str = ""
    """What it changes of base, in words."""
    no_effect: str | None = None
    """Why its run says nothing about it; null where the engine did what was asked."""
    against_base: Distances | None = None
    """Against base, at base's positions; null for base, `as_served` and variants that did not walk base's tokens."""
    at_probes: Distances | None = None
    """The same at the probes, whose prompts end at the edges of KV cache blocks."""
    same_answers: SameAnswers | None = None
    """Where the engine's logits could not be seen: its answers against base's."""
    witnesses: Paths | None = None
    """Decode and prefill against the reference and each other; null where prefill was not captured."""
    batches: list[BatchRow] = Field([])
    """The same tokens in other batches."""
    positions: int
    """Judged positions; 0 where the engine's logits could not be seen."""
    own_limits: dict[str, Limit]
    """Limits of the model's config that replace the dtype's, with their reasons."""
    relative_l2: list[float]
    """Per judged position, for pictures."""
    prompts: list[PromptRow]
    labels: list[LabelRow]
    layers: list[LayerRow] = Field([])
    second_dtype: str | None = None
    """Dtype of the second reference, if the model config asks for one."""


class SubjectFacts(Part):
    """The model as its files say it is."""

    kind: str
    """`real`, or `twin`: a stand-in trained on the spot, which says nothing about the model itself."""
    model: str
    hardware: str | None
    weights: str
    """Folder the candidate loaded."""
    weights_digest: str
    reference_weights: str
    reference_digest: str
    config_digest: str
    """Digest of the model config in force."""
    variants: list[str] = Field(list(JUDGED))
    """Those the model is to be judged in."""
    adapter: str | None = None
    """Folder of the LoRA."""
    findings: list[str] = Field([])
    """What inspection noticed, none of it an error."""
    weights_shown: list[TensorStatistics] = Field([])
    """Statistics of some of the candidate's weights: those of its first layer."""
    published_shown: list[TensorStatistics] = Field([])
    """The same of the published checkpoint, where the candidate's was converted from it."""
    conversion: dict[str, Any] | None = None
    """What converting cost, over all tensors; null for weights loaded as published."""
    audit: Audit | None = None
    """The candidate's weights against the published ones; null where they are the same files."""
    architecture: dict[str, str | int | float | bool]


def describe_subject(subject: Subject, config: ModelConfig, prepared: Prepared) -> dict[str, Any]:
    """The facts of a subject, JSON-able."""
    candidate, reference = prepared.candidate, prepared.reference
    return SubjectFacts(
        kind=subject.kind,
        model=config.model,
        hardware=config.hardware,
        weights=str(candidate.folder),
        weights_digest=folder_digest(candidate.folder),
        reference_weights=str(reference.folder),
        reference_digest=folder_digest(reference.folder),
        config_digest=digest(config.model_dump(mode="json")),
        variants=list(config.variant_names),
        adapter=None if prepared.adapter is None else str(prepared.adapter),
        findings=[str(finding) for finding in prepared.findings],
        weights_shown=_first_layer(prepared.scan),
        published_shown=[] if prepared.scan is prepared.published_scan else _first_layer(prepared.published_scan),
        conversion=_conversion(candidate.folder),
        audit=prepared.audit,
        architecture=_architecture(candidate, config),
    ).model_dump(mode="json")


def save_details(folder: Path, model: str, facts: dict[str, Any], evidence: Evidence) -> None:
    """Write the details of one judged variant into the run's folder."""
    place = folder / "details" / model
    write_text(place / "subject.json", SubjectFacts.model_validate(facts).model_dump_json(indent=1))
    write_text(place / f"{evidence.variant}.json", _variant_details(evidence).model_dump_json(indent=1))


def load_details(folder: Path, model: str) -> tuple[SubjectFacts | None, list[VariantDetails]]:
    """What `save_details` left for a model; nothing for one that never ran."""
    place = folder / "details" / model
    subject = place / "subject.json"
    if not subject.is_file():
        return None, []
    facts = SubjectFacts.model_validate_json(subject.read_bytes())
    order = {name: number for number, name in enumerate(facts.variants)}
    paths = sorted(place.glob("*.json"), key=lambda path: (order.get(path.stem, len(order)), path.stem))
    return facts, [VariantDetails.model_validate_json(path.read_bytes()) for path in paths if path != subject]


def _variant_details(evidence: Evidence) -> VariantDetails:
    # Where logits could not be seen, neither a comparison nor a row a prompt can be made.
    seen = None if evidence.tokens_only else evidence.comparison
    return VariantDetails(
        variant=evidence.variant,
        candidate=evidence.candidate.provenance,
        reference=evidence.reference.provenance,
        metrics_version=METRICS_VERSION,
        changes=changes_in_words(evidence.config, evidence.variant),
        no_effect=evidence.no_effect,
        against_base=distances(evidence, evidence.against_base),
        at_probes=distances(evidence, evidence.probes_against_base),
        same_answers=same_answers(evidence),
        witnesses=None if seen is None else paths(evidence),
        batches=batches(evidence),
        positions=0 if seen is None else len(seen),
        own_limits=evidence.config.limits,
        relative_l2=[] if seen is None else [round(float(value), 7) for value in seen.values["relative_l2"]],
        prompts=[] if seen is None else prompt_rows(evidence, seen),
        labels=label_rows(evidence),
        # Of others than base they are kept at positions of base's, not at prompts' ends.
        layers=layer_table(evidence.candidate, evidence.reference) if evidence.base is None else [],
        second_dtype=None if evidence.second_reference is None else evidence.config.reference.also,
    )


def _conversion(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return {"scheme": record["scheme"], "dtype": record["dtype"], **record["total"]}


def _first_layer(scan: Scan) -> list[TensorStatistics]:
    """Statistics of the first layer's matrices: enough to see how weights are stored and spread."""
    matrices = [tensor for tensor in scan.tensors if len(tensor.shape) > 1]
    return [tensor for tensor in matrices if ".layers.0." in tensor.name or tensor.operator_norm is not None]


def _architecture(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, str | int | float | bool]:
    text = checkpoint.text_config
    found: dict[str, Any] = {
        "architecture": ", ".join(checkpoint.config.get("architectures", [])),
        "attention_heads": text.get("num_attention_heads"),
        "key_value_heads": text.get("num_key_value_heads"),
        "hidden_layers": text.get("num_hidden_layers"),
        "head_dim": text.get("head_dim"),
        "hidden_size": text.get("hidden_size"),
        "intermediate_size": text.get("intermediate_size"),
        "rope_theta": text.get("rope_theta") or (text.get("rope_parameters") or {}).get("rope_theta"),
        "max_position_embeddings": text.get("max_position_embeddings"),
        "vocab_size": text.get("vocab_size"),
        "tie_word_embeddings": text.get("tie_word_embeddings", checkpoint.config.get("tie_word_embeddings")),
        "parameters": checkpoint.parameters or None,
        "tensors": len(checkpoint.tensors) or None,
        "dtype": config.serve.dtype,
        "weight_files": len(checkpoint.files),
        "weight_bytes": weight_bytes(checkpoint),
    }
    return {key: value for key, value in found.items() if value is not None}
