"""What a report says of the model itself: its files, their architecture, what conversion cost."""

from pathlib import Path
from typing import Any

from npu_conformance.audit.scan import Scan
from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.checkpoints.inspect import Checkpoint, weight_bytes
from npu_conformance.checkpoints.published_digests import compare_digests
from npu_conformance.checkpoints.rope import plain_settings
from npu_conformance.checkpoints.subject import Subject, folder_digest
from npu_conformance.config.identity import config_digest
from npu_conformance.config.model import ModelConfig
from npu_conformance.conversion.stage import find_record
from npu_conformance.report.details import SubjectFacts
from npu_conformance.run.preparation import Prepared


def describe_subject(subject: Subject, config: ModelConfig, prepared: Prepared, *, own: bool) -> dict[str, Any]:
    """The facts of a subject, JSON-able.

    Args:
        subject: what was found for the model.
        config: the model's.
        prepared: its weights as they are loaded.
        own: whether the candidate was given a checkpoint or LoRA instead of the config's.
    """
    candidate, reference = prepared.candidate, prepared.reference
    return SubjectFacts(
        kind=subject.kind,
        model=config.model,
        hardware=config.hardware,
        weights=str(candidate.folder),
        weights_digest=folder_digest(candidate.folder),
        reference_weights=str(reference.folder),
        reference_digest=folder_digest(reference.folder),
        config_digest=config_digest(config),
        own_weights=own,
        variants=list(config.variant_names),
        adapter=None if prepared.adapter is None else str(prepared.adapter),
        adapter_model=config.adapter,
        adapter_digest=None if prepared.adapter is None else folder_digest(prepared.adapter),
        files=compare_digests(candidate.folder, "all"),
        reference_files=[] if candidate is reference else compare_digests(reference.folder, "all"),
        findings=[str(finding) for finding in prepared.findings],
        weights_shown=_first_layer(prepared.scan),
        published_shown=[] if prepared.scan is prepared.published_scan else _first_layer(prepared.published_scan),
        conversion=_conversion(candidate.folder),
        audit=prepared.audit,
        architecture=_architecture(candidate, config),
    ).model_dump(mode="json")


def _conversion(folder: Path) -> dict[str, Any] | None:
    record = find_record(folder)
    return None if record is None else {"scheme": record.scheme, "dtype": record.dtype, **(record.total or {})}


def _first_layer(scan: Scan) -> list[TensorStatistics]:
    """Statistics of the first layer's matrices: enough to see how weights are stored and spread."""
    matrices = [tensor for tensor in scan.tensors if len(tensor.shape) > 1]
    return [tensor for tensor in matrices if ".layers.0." in tensor.name or tensor.operator_norm is not None]


def _architecture(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, str | int | float | bool]:
    text = checkpoint.text_config
    found: dict[str, Any] = {
        "architecture": ", ".join(checkpoint.config.get("architectures") or []),
        "attention_heads": text.get("num_attention_heads"),
        "key_value_heads": text.get("num_key_value_heads"),
        "hidden_layers": text.get("num_hidden_layers"),
        "head_dim": text.get("head_dim"),
        "hidden_size": text.get("hidden_size"),
        "intermediate_size": text.get("intermediate_size"),
        "rope_theta": plain_settings(text).get("rope_theta"),
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
