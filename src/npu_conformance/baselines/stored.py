"""The file of a baseline: a run that passed, small enough for git, against which later ones are held.

It has base's tokens and, position by position, the likeliest words of the reference with their log-probabilities, and
those that the candidate and the noise floor gave them. With it a candidate is judged without computing a reference.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from npu_conformance.baselines.packed import Part
from npu_conformance.baselines.positions import OfPositions, StoredPrompt, StoredReference, StoredRun
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.machine.own_digest import OwnDigest
from npu_conformance.machine.provenance import Provenance
from npu_conformance.machine.storage import digest
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.measure.topk import TopK, topk_deviations
from npu_conformance.traces.performance import Performance
from npu_conformance.traces.reading import read_saved
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import Answer, Trace

SCHEMA_VERSION = 1


class Change(Part):
    """When and why a baseline was written."""

    date: datetime
    action: Literal["create", "update"]
    reason: str
    """Why it changed; of the first, the command."""
    figures: dict[str, float]
    """Base's figures then."""


class Identity(Part):
    """What a later run must have in common, besides the prompts' token ids."""

    reference: str
    """Digest of the weights the reference loads."""
    reference_files: dict[str, str] = Field({})
    """SHA-256 of each of its files by name; none in files that earlier versions wrote."""
    adapter: str | None
    """Digest of the LoRA."""
    metrics_version: int = METRICS_VERSION


class Baseline(OfPositions, OwnDigest, Part):
    """A run that passed, which later ones are held against."""

    schema_version: int = SCHEMA_VERSION
    model: str
    platform: str
    subject: Literal["real", "twin"]
    """A twin's says nothing about the model, and is kept beside the twins."""
    verdict: Literal["pass"] = "pass"
    """Of the run it was made of: no other becomes one."""
    identity: Identity
    weights: str
    """Digest of the weights the candidate loaded."""
    candidate: Provenance
    """Provenance of the candidate: engine, device, versions, effective options."""
    reference_by: Provenance
    """Provenance of the reference: engine, versions, dtype, attention."""
    history: tuple[Change, ...]
    """Oldest first."""
    figures: dict[str, dict[str, float]]
    """What was observed, by variant and `check: metric`."""
    eos_token_ids: tuple[int, ...]
    pieces: dict[int, str]
    """Text of the tokens that occur."""
    prompts: tuple[StoredPrompt, ...]
    reference: StoredReference
    run: StoredRun
    """The candidate, in base."""
    performance: Performance | None = None
    """The engine's speed as it is served; null where it was not measured."""
    floor: dict[str, StoredRun]
    """Floor runs of the noise floor by name."""
    digest: str = ""
    """Of everything else in the file."""

    @model_validator(mode="before")
    @classmethod
    def _of_this_schema(cls, content: Any) -> Any:
        """First, or the keys of another version would be called mistakes."""
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version not in (None, SCHEMA_VERSION):
            raise ValueError(
                f"schema_version {version}, this version of the suite reads {SCHEMA_VERSION}: use the one that wrote it"
            )
        return content

    def text(self) -> str:
        """What its file says."""
        return self.model_dump_json(indent=1) + "\n"

    def own_digest(self) -> str:
        """What `digest` should be, in files that earlier versions wrote too."""
        content = self.model_dump(mode="json", exclude={"digest"})
        if not self.identity.reference_files:
            del content["identity"]["reference_files"]
        if self.performance is None:
            del content["performance"]
        return digest(content)

    def deviations(self, run: TopK) -> Deviations:
        """How a run at all its positions deviates from the reference."""
        return topk_deviations(run, self.exact, self.sizes, self.bounds)

    @cached_property
    def floor_runs(self) -> dict[str, TopK]:
        """Distributions of the floor runs."""
        return {name: one.topk(self.exact) for name, one in self.floor.items()}

    @cached_property
    def floor_deviations(self) -> dict[str, Deviations]:
        """How these deviate from the reference."""
        return {name: self.deviations(one) for name, one in self.floor_runs.items()}

    @cached_property
    def tokens(self) -> tuple[tuple[int, ...], ...]:
        """Base's answers."""
        return tuple(tuple(prompt.token_ids.array().tolist()) for prompt in self.prompts)

    @cached_property
    def prompt_ids(self) -> tuple[tuple[int, ...], ...]:
        """By prompt."""
        return tuple(tuple(prompt.prompt_ids.array().tolist()) for prompt in self.prompts)

    def check(self) -> None:
        """Look at every array once.

        Raises:
            ValueError: one is damaged, they do not fit together, or the digest is not that of the rest.
        """
        if self.digest != self.own_digest():
            raise ValueError("digest: is not that of the rest of the file")
        runs = (self.run, *self.floor.values())
        shape = self.exact.log_probs.shape
        found = {self.words.shape, shape, *(run.errors.array().shape for run in runs)}
        flat = {self.sizes.shape, self.exact.tail.shape, *(run.tail.array().shape for run in runs)}
        flat |= {run.choices.array().shape for run in runs}
        if not all(self.prompt_ids) or len(self.reference.texts) != len(self.prompts):
            raise ValueError("prompts: one has no token ids, or no text of the reference's")
        if found != {shape} or flat != {shape[:1]} or shape[0] != sum(map(len, self.tokens)):
            raise ValueError(f"arrays of {self.bounds[-1]} positions expected, found {sorted(found)}, {sorted(flat)}")


def as_reference(baseline: Baseline, path: Path) -> Trace:
    """A reference that has the kept words of each position, in memory.

    Args:
        baseline: what it is made of.
        path: of its file, for messages.
    """
    return Trace(
        folder=path,
        answers=_answers(baseline, baseline.reference.texts),
        eos_token_ids=baseline.eos_token_ids,
        provenance={**baseline.reference_by, "baseline": str(path)},
        pieces=baseline.pieces,
        forced=True,
        rows="topk",
        held=tuple(_rows(baseline, slice(*span)) for span in pairwise(baseline.bounds)),
    )


def _rows(baseline: Baseline, span: slice) -> TopKRows:
    exact = baseline.exact
    return TopKRows(baseline.words[span], exact.log_probs[span], exact.tail[span], baseline.sizes[span])


def tokens_to_force(baseline: Baseline) -> tuple[Answer, ...]:
    """Base's answers, for an engine that is to take their tokens."""
    return _answers(baseline, [prompt.text for prompt in baseline.prompts])


def _answers(baseline: Baseline, texts: Sequence[str]) -> tuple[Answer, ...]:
    return tuple(
        Answer(prompt.id, ids, tokens, text)
        for prompt, ids, tokens, text in zip(baseline.prompts, baseline.prompt_ids, baseline.tokens, texts, strict=True)
    )


def read_baseline(path: Path) -> Baseline:
    """Read the file of a baseline.

    Raises:
        ConfigError: it is damaged, of another version, or does not fit; one line that names it.
    """
    again = "restore it, or write it anew with `--baseline=create` once it is removed"
    try:
        baseline = read_saved(path, TypeAdapter(Baseline), again)
    except TraceError as error:
        raise ConfigError(str(error)) from error
    try:
        baseline.check()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; {again}") from error
    return baseline
