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

import numpy as np
from pydantic import Field, TypeAdapter, model_validator

from npu_conformance.baselines.packed import Packed, Part
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.machine.provenance import Provenance
from npu_conformance.machine.storage import digest
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.measure.topk import TopK, topk_deviations
from npu_conformance.traces.performance import Performance
from npu_conformance.traces.reading import read_saved
from npu_conformance.traces.topk_rows import Ids, TopKRows, Values
from npu_conformance.traces.trace import Answer, Trace

SCHEMA_VERSION = 1


class StoredRun(Part):
    """A run over the kept words, as differences from the reference, which are small and need few digits."""

    errors: Packed
    """Log-probability minus the reference's [positions, words]."""
    tail: Packed
    """Log-probability of all other words together minus the reference's [positions]."""
    choices: Packed
    """Greedy token minus the reference's [positions]: 0 where they agree."""

    @classmethod
    def of(cls, run: TopK, reference: TopK) -> "StoredRun":
        """Pack a run."""
        return cls(
            errors=Packed.of(run.log_probs - reference.log_probs, "float16"),
            tail=Packed.of(_log(run.tail) - _log(reference.tail), "float16"),
            choices=Packed.of(run.choices - reference.choices, "int32"),
        )

    def topk(self, reference: TopK) -> TopK:
        """The run as it was, up to the rounding of its differences."""
        return TopK(
            reference.log_probs + self.errors.array().astype(np.float64),
            np.exp(_log(reference.tail) + self.tail.array().astype(np.float64)),
            reference.choices + self.choices.array().astype(np.int64),
        )


def _log(tail: Values) -> Values:
    """Of a probability that may be too small for a float32, in which the reference's is kept."""
    return np.asarray(np.log(np.maximum(tail, np.finfo(np.float32).tiny)))


class StoredReference(Part):
    """The reference at every judged position."""

    words: Packed
    """Its likeliest words, likeliest first [positions, words]; the first is its choice."""
    log_probs: Packed
    """Of these words [positions, words], natural."""
    tail: Packed
    """Probability of all other words [positions]."""
    size: Packed
    """Root mean square of its logits [positions]."""
    texts: tuple[str, ...]
    """The text of its own choices, a prompt each."""


class StoredPrompt(Part):
    """A prompt and base's answer to it."""

    id: str
    prompt_ids: Packed
    token_ids: Packed
    """Judged ones: up to and including the first that ends an answer."""
    text: str


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


class Baseline(Part):
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

    def sealed(self) -> "Baseline":
        """The same with its digest."""
        return self.model_copy(update={"digest": self._own_digest()})

    def text(self) -> str:
        """What its file says."""
        return self.model_dump_json(indent=1) + "\n"

    def _own_digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"digest"})
        if not self.identity.reference_files:
            del content["identity"]["reference_files"]
        if self.performance is None:  # as in files that earlier versions wrote
            del content["performance"]
        return digest(content)

    @property
    def bounds(self) -> tuple[int, ...]:
        """Prompt i has the positions bounds[i] to bounds[i + 1]."""
        return (0, *np.cumsum([prompt.token_ids.shape[0] for prompt in self.prompts]).tolist())

    @cached_property
    def words(self) -> Ids:
        """The kept words [positions, words]."""
        return self.reference.words.array().astype(np.int32)

    @cached_property
    def exact(self) -> TopK:
        """The reference's distributions."""
        stored = self.reference
        return TopK(
            stored.log_probs.array().astype(np.float64),
            stored.tail.array().astype(np.float64),
            self.words[:, 0].astype(np.int64),
        )

    @cached_property
    def sizes(self) -> Values:
        """Root mean square of the reference's logits [positions]."""
        return self.reference.size.array().astype(np.float64)

    @cached_property
    def candidate_run(self) -> TopK:
        """The candidate's distributions."""
        return self.run.topk(self.exact)

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
        if self.digest != self._own_digest():
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
