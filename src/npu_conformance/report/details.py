"""What a report shows besides verdicts: the model, the runs, and a row a prompt. Saved by whoever judged.

Saved as files in the run's folder, because with several pytest workers it is another process that reports.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from npu_conformance.checkpoints.inspect import Checkpoint, weight_bytes
from npu_conformance.config import Limit, ModelConfig
from npu_conformance.evidence import Evidence
from npu_conformance.gates import label_cases
from npu_conformance.metrics import METRICS_VERSION
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
    architecture: dict[str, str | int | float | bool]


def describe_subject(subject: Subject, config: ModelConfig, checkpoint: Checkpoint) -> dict[str, Any]:
    """The facts of a subject, JSON-able."""
    return SubjectFacts(
        kind=subject.kind,
        model=config.model,
        hardware=config.hardware,
        weights=str(subject.candidate),
        weights_digest=folder_digest(subject.candidate),
        reference_weights=str(subject.reference),
        reference_digest=folder_digest(subject.reference),
        config_digest=digest(config.model_dump(mode="json")),
        architecture=_architecture(checkpoint, config),
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
    )


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
        "hidden_size": text.get("hidden_size"),
        "intermediate_size": text.get("intermediate_size"),
        "rope_theta": text.get("rope_theta") or (text.get("rope_parameters") or {}).get("rope_theta"),
        "max_position_embeddings": text.get("max_position_embeddings"),
        "vocab_size": text.get("vocab_size"),
        "tie_word_embeddings": text.get("tie_word_embeddings", checkpoint.config.get("tie_word_embeddings")),
        "parameters": checkpoint.parameters or None,
        "dtype": config.serve.dtype,
        "weight_files": len(checkpoint.files),
        "weight_bytes": weight_bytes(checkpoint),
    }
    return {key: value for key, value in found.items() if value is not None}
