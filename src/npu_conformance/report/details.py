"""What a report shows besides verdicts: the model, the runs, and a row a prompt. Saved by whoever judged.

Saved as files in the run's folder, because with several pytest workers it is another process that reports.
"""

from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.checkpoints.published_digests import FileDigest
from npu_conformance.checks.capabilities import whole_rows
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import Limit
from npu_conformance.config.variants import JUDGED
from npu_conformance.machine.provenance import Provenance
from npu_conformance.machine.storage import write_text
from npu_conformance.measure.layer_table import LayerRow, layer_table
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.report.findings import (
    BatchRow,
    Distances,
    LogRow,
    ModuleRow,
    Paths,
    SameAnswers,
    batches,
    distances,
    log_rows,
    module_rows,
    paths,
    same_answers,
)
from npu_conformance.report.part import Part
from npu_conformance.report.prompt_rows import LabelRow, PromptRow, label_rows, prompt_rows
from npu_conformance.report.token_rows import TokenRows, floor_errors, token_rows
from npu_conformance.report.tokens import Agreement, Mismatch, agreement, mismatches
from npu_conformance.traces.performance import Performance


class VariantDetails(Part):
    """One variant of a model."""

    variant: str
    candidate: Provenance
    """Provenance of the candidate's trace: engine, device, versions, options asked and effective, timings."""
    reference: Provenance
    """Provenance of the reference's trace."""
    metrics_version: int
    changes: str = ""
    """What it changes of base, in words."""
    no_effect: str | None = None
    """Why its run says nothing about it; null where the engine did what was asked."""
    unconfirmed: str | None = None
    """What was asked for it and nothing in its run shows, by name; none of its checks passes then."""
    against_base: Distances | None = None
    """Against base, at base's positions; null for base, `as_served` and variants that did not take base's tokens."""
    at_boundary: Distances | None = None
    """The same at the block-boundary prompts, whose prompts end at the edges of KV cache blocks."""
    same_answers: SameAnswers | None = None
    """Where the engine's logits could not be seen: its answers against base's."""
    agreement: Agreement | None = None
    """Its tokens against the reference's, with and without ties; null without a noise floor."""
    mismatches: list[Mismatch] = Field([])
    """Every token that is neither the reference's nor tied with it."""
    three_way: Paths | None = None
    """Decode and prefill against the reference and each other; null where prefill was not captured."""
    batches: list[BatchRow] = Field([])
    """The same tokens in other batches."""
    log: list[LogRow] = Field([])
    """What the engine's log said."""
    positions: int
    """Judged positions; 0 where the engine's logits could not be seen."""
    own_limits: dict[str, Limit]
    """Limits of the model's config that replace the dtype's, with their reasons."""
    relative_l2: list[float]
    """Per judged position, for pictures."""
    log_probs: list[float] = Field([])
    """Natural log-probability of the candidate's token at each judged position; empty where it was not kept."""
    tokens: list[int] = Field([])
    """The candidate's token there: of its own largest logit where it was made to take others; empty as above."""
    floor_l2: list[float] = Field([])
    """The same of the floor runs, geometric mean of them; empty without a noise floor."""
    token_rows: TokenRows | None = None
    """Both sides' likeliest tokens; null where nothing of the variant is to be looked at token by token."""
    prompts: list[PromptRow]
    labels: list[LabelRow]
    layers: list[LayerRow] = Field([])
    modules: list[ModuleRow] = Field([])
    """Attentions and MLPs against their own floor; base's only."""
    performance: Performance | None = None
    """The engine's speed by `vllm bench`; of `as_served` only, and null where it was not measured."""
    second_dtype: str | None = None
    """Dtype of the second reference, if the model config asks for one."""

    @model_validator(mode="after")
    def _positions_add_up(self) -> "VariantDetails":
        tokens, errors = sum(row.tokens for row in self.prompts), len(self.relative_l2)
        rows = 0 if self.token_rows is None else len(self.token_rows.tokens)
        if {tokens, errors, len(self.floor_l2), len(self.log_probs), len(self.tokens), rows} - {0, self.positions}:
            raise ValueError(f"{self.positions} positions, {errors} values of relative_l2, prompts of {tokens} tokens")
        return self


class SubjectFacts(Part):
    """The model as its files say it is."""

    kind: Literal["real", "twin"]
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
    own_weights: bool = False
    """Whether the candidate was given a checkpoint or LoRA instead of the config's."""
    variants: list[str] = Field(list(JUDGED))
    """Those the model is to be judged in."""
    adapter: str | None = None
    """Folder of the LoRA."""
    adapter_model: str | None = None
    """The LoRA's name in the model's config."""
    adapter_digest: str | None = None
    files: list[FileDigest] = Field([])
    """Of the candidate's weights, and whether they are the published ones."""
    reference_files: list[FileDigest] = Field([])
    """The same of the reference's, where they are others."""
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
    # Where logits could not be seen, neither a comparison nor a row a prompt can be made; some have no whole rows.
    seen = None if evidence.tokens_only else evidence.comparison
    whole = seen if whole_rows(evidence) else None
    kept = None if whole is None else whole.log_probs
    log_probs = [] if kept is None else [round(float(one), 6) for one in kept[:, 0]]
    return VariantDetails(
        variant=evidence.variant,
        candidate=cast(Provenance, evidence.candidate.provenance),
        reference=cast(Provenance, evidence.reference.provenance),
        metrics_version=METRICS_VERSION,
        changes=evidence.config.changes_in_words(evidence.variant),
        no_effect=evidence.no_effect,
        unconfirmed=evidence.unconfirmed,
        against_base=distances(evidence, evidence.against_base),
        at_boundary=distances(evidence, evidence.boundary_against_base),
        same_answers=same_answers(evidence),
        agreement=None if seen is None else agreement(evidence, seen),
        mismatches=[] if seen is None else mismatches(evidence, seen),
        three_way=None if whole is None else paths(evidence),
        batches=batches(evidence),
        log=log_rows(evidence),
        positions=0 if seen is None else len(seen),
        own_limits=evidence.config.limits,
        relative_l2=[] if whole is None else [round(float(value), 7) for value in whole.values["relative_l2"]],
        log_probs=log_probs,
        tokens=whole.tokens.tolist() if whole is not None and log_probs else [],
        floor_l2=[] if whole is None else floor_errors(evidence),
        token_rows=None if whole is None else token_rows(evidence, whole),
        prompts=[] if whole is None else prompt_rows(evidence, whole),
        labels=label_rows(evidence),
        # Of others than base they are kept at positions of base's, not at prompts' ends.
        layers=layer_table(evidence.candidate, evidence.reference)
        if evidence.base is None and not evidence.baseline_only
        else [],
        modules=module_rows(evidence) if evidence.variant == "base" else [],
        performance=evidence.performance,
        second_dtype=None if evidence.second_reference is None else evidence.config.reference.also,
    )
