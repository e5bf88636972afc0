"""What a report shows besides verdicts: the model, the runs, and a row a prompt. Saved by whoever judged.

Saved as files in the run's folder, because with several pytest workers it is another process that reports.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from npu_conformance.audit.audit import Audit
from npu_conformance.checkpoints.inspect import Checkpoint, weight_bytes
from npu_conformance.checkpoints.scan import Scan
from npu_conformance.checkpoints.statistics import TensorStatistics
from npu_conformance.compare import compare
from npu_conformance.config import Limit, ModelConfig
from npu_conformance.conversion.convert import RECORD
from npu_conformance.evidence import Evidence
from npu_conformance.gates.answers import label_cases
from npu_conformance.layer_table import LayerRow, layer_table
from npu_conformance.metrics import METRICS_VERSION
from npu_conformance.run.preparation import Prepared
from npu_conformance.storage import digest, write_text
from npu_conformance.subject import Subject, folder_digest
from npu_conformance.variants import JUDGED


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")


class PromptRow(_Part):
    """One prompt of one variant."""

    prompt: str
    text: str
    """The prompt as written, before any template."""
    answer: str
    tokens: int
    """Judged positions."""
    matches: int
    """Positions at which the candidate's token is the reference's choice."""
    first_divergence: int | None
    candidate_first: str
    """The candidate's first token."""
    reference_first: str
    cosine: float
    """Mean over the prompt's positions."""
    cosine_first: float
    """At the first token."""
    relative_l2: float
    """Mean over the prompt's positions."""
    kl: float
    """Mean over the prompt's positions."""
    repeated: bool | None
    """Whether a second run gave the same tokens; null when there was none."""
    expected: list[str]
    """Substrings asked of the answer."""
    expected_found: bool
    second_matches: int | None = None
    """Positions at which the candidate's token is the second reference's choice; null without one."""


class LabelRow(_Part):
    """The labels of one prompt in one variant; null where the answer has none."""

    prompt: str
    text: str
    expected: dict[str, str]
    candidate: dict[str, str] | None
    reference: dict[str, str] | None


class VariantDetails(_Part):
    """One variant of a model."""

    variant: str
    candidate: dict[str, Any]
    """Provenance of the candidate's trace: engine, device, versions, options asked and effective, timings."""
    reference: dict[str, Any]
    """Provenance of the reference's trace."""
    metrics_version: int
    positions: int
    own_limits: dict[str, Limit]
    """Limits of the model's config that replace the dtype's, with their reasons."""
    relative_l2: list[float]
    """Per judged position, for pictures."""
    prompts: list[PromptRow]
    labels: list[LabelRow]
    layers: list[LayerRow] = []
    second_dtype: str | None = None
    """Dtype of the second reference, if the model config asks for one."""


class SubjectFacts(_Part):
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
    variants: list[str] = list(JUDGED)
    """Those the model is to be judged in."""
    adapter: str | None = None
    """Folder of the LoRA."""
    findings: list[str] = []
    """What inspection noticed, none of it an error."""
    weights_shown: list[TensorStatistics] = []
    """Statistics of some of the candidate's weights: those of its first layer."""
    published_shown: list[TensorStatistics] = []
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
        variants=[*JUDGED, *config.variants],
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
    paths = sorted(place.glob("*.json"), key=lambda path: (path.stem not in JUDGED, path.stem != JUDGED[0], path.stem))
    variants = [VariantDetails.model_validate_json(path.read_bytes()) for path in paths if path != subject]
    return SubjectFacts.model_validate_json(subject.read_bytes()), variants


def _variant_details(evidence: Evidence) -> VariantDetails:
    comparison = evidence.comparison
    texts = {prompt.id: prompt.text for prompt in evidence.prompts}
    expected = {prompt.id: prompt.expect for prompt in evidence.prompts}
    second = None if evidence.second_reference is None else compare(evidence.candidate, evidence.second_reference)
    rows = []
    for index, answer in enumerate(evidence.candidate.answers):
        span = comparison.span(index)
        values = {name: array[span] for name, array in comparison.values.items()}
        count = span.stop - span.start
        if not count:
            continue
        rows.append(
            PromptRow(
                prompt=answer.prompt,
                text=texts[answer.prompt],
                answer=answer.text,
                tokens=count,
                matches=int(comparison.matches[span].sum()),
                first_divergence=comparison.first_divergence(index),
                candidate_first=_shown(evidence, int(comparison.tokens[span.start])),
                reference_first=_shown(evidence, int(comparison.choices[span.start])),
                cosine=float(values["cosine"].mean()),
                cosine_first=float(values["cosine"][0]),
                relative_l2=float(values["relative_l2"].mean()),
                kl=float(values["kl"].mean()),
                repeated=None if answer.repeat_token_ids is None else answer.repeat_token_ids == answer.token_ids,
                expected=list(expected[answer.prompt]),
                expected_found=all(text in answer.text for text in expected[answer.prompt]),
                second_matches=None if second is None else int(second.matches[span].sum()),
            )
        )
    return VariantDetails(
        variant=evidence.variant,
        candidate=evidence.candidate.provenance,
        reference=evidence.reference.provenance,
        metrics_version=METRICS_VERSION,
        positions=len(comparison),
        own_limits=evidence.config.limits,
        relative_l2=[round(float(value), 7) for value in comparison.values["relative_l2"]],
        prompts=rows,
        labels=[
            LabelRow(
                prompt=case.prompt,
                text=texts[case.prompt],
                expected=case.expected,
                candidate=case.candidate,
                reference=case.reference,
            )
            for case in label_cases(evidence)
        ],
        layers=layer_table(evidence.candidate, evidence.reference),
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


def _shown(evidence: Evidence, token: int) -> str:
    """A token's text as reports publish it; blank ones quoted, with their id."""
    text = evidence.reference.pieces.get(token, "")
    return text if text.strip() else evidence.reference.piece(token)


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
