"""The reference of one model: its logits over the candidate's tokens, and its hidden states."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from time import time
from typing import Any

from npu_conformance.checkpoints.subject import Subject, folder_digest
from npu_conformance.config.limits import ReferenceDtype
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import JUDGED
from npu_conformance.errors import TraceError
from npu_conformance.machine.cache import (
    LIMIT_VARIABLE,
    REFERENCES,
    lock_of,
    reference_limit,
    size_text,
    trim_references,
)
from npu_conformance.machine.locks import locked
from npu_conformance.machine.storage import cache_dir
from npu_conformance.measure.module_errors import MODULE_ERRORS
from npu_conformance.measure.reference_runs import Attention, ReferenceRun
from npu_conformance.run.cost import decoding, reference_cost
from npu_conformance.run.deadlines import reference_deadline
from npu_conformance.run.made_by import cached_at, is_current
from npu_conformance.run.preparation import Prepared
from npu_conformance.run.settings import Settings
from npu_conformance.traces.layers import Layers, load_layers
from npu_conformance.traces.module_states import holds_module_states
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.job import SeriesJob
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.scorer_job import FloorJob, ModulesJob, ReferenceJob, SpeedJob, StatesJob

_STARTED = time()
"""When this process began: what it used of the cache, it used later."""


class References:
    """Runs the reference of one model, in float32 and in other dtypes."""

    def __init__(
        self, config: ModelConfig, subject: Subject, prepared: Prepared, settings: Settings, jobs: Jobs
    ) -> None:
        """Args: as in a session; a limit of the cache that is no size is a ConfigError."""
        self._limit = reference_limit()
        self._config = config
        self._subject = subject
        self._prepared = prepared
        self._settings = settings
        self._jobs = jobs

    def ahead(self, variant: Path, runs: Sequence[ReferenceRun]) -> AbstractContextManager[None]:
        """Have the process of a pass import what it needs, as while an engine starts; `score` comes in the context."""
        name, environment = self._name(variant, runs), self._jobs.on_the_host()
        return self._jobs.ahead("reference", name, environment, self._subject.python)

    def score(self, variant: Path, runs: Sequence[ReferenceRun]) -> None:
        """Leave what a pass makes (see `run/schedule.py`) beside the candidate of a variant's folder.

        See `run_job` for what it raises.
        """
        jobs: list[ReferenceJob | FloorJob | ModulesJob] = [
            self._deviating(variant, one) if one.deviates else self._reference(variant, one) for one in runs
        ]
        if runs[0].name == "reference" and self._has_module_floor and holds_module_states(variant / "candidate"):
            # By the model that the reference loaded.
            jobs.insert(1, self.module_errors(variant / "candidate", variant / MODULE_ERRORS))
        deadline = self._deadline(_lengths(variant / "candidate"), {one.dtype for one in runs})
        self._run(SeriesJob(jobs=tuple(jobs)), self._name(variant, runs), deadline)

    def _name(self, variant: Path, runs: Sequence[ReferenceRun]) -> str:
        return f"{self._subject.name} {variant.name}: {runs[0].name.replace('_', ' ')}"

    def _reference(self, variant: Path, run: ReferenceRun) -> ReferenceJob:
        return ReferenceJob(
            **self._common(run.dtype, run.attn_implementation),
            output=variant / run.name,
            candidate=variant / "candidate",
            rendered=variant.parent / "rendered.json" if variant.name in JUDGED else None,
            logits_only=run.name != "reference",
        )

    def _deviating(self, variant: Path, run: ReferenceRun) -> FloorJob:
        """A floor run, which computes as the candidate does: with its codes where it quantises what enters layers."""
        common, candidate = self._common(run.dtype, run.attn_implementation), self._prepared.candidate.folder
        if self._prepared.quantised:
            common |= {"checkpoint": candidate, "checkpoint_digest": folder_digest(candidate), "quantised": True}
        return FloorJob(
            **common,
            dither=run.dither,
            output=variant / f"{run.name}.npz",
            reference=variant / "reference",
        )

    @property
    def _has_module_floor(self) -> bool:
        """Whether rounding in the candidate's dtype is what its modules may err by."""
        plain = self._config.scheme is None and not self._prepared.quantised
        return plain and self._config.serve.dtype != "float32"

    def module_errors(self, candidate: Path, output: Path) -> ModulesJob:
        """The job that computes a candidate's attentions and MLPs again."""
        return ModulesJob(
            **self._common("float32", self._config.reference.attn_implementation),
            output=output,
            candidate=candidate,
            floor_dtype=self._config.serve.dtype,
        )

    def measure_modules(self, candidates: Mapping[Path, Path], name: str, deadline: float) -> None:
        """Do that of several, each into its file."""
        jobs = tuple(self.module_errors(candidate, output) for output, candidate in candidates.items())
        self._run(SeriesJob(jobs=jobs), name, deadline)

    def states(self, prefixes: Sequence[tuple[int, ...]], output: Path, dtype: ReferenceDtype) -> Layers:
        """Hidden states at the end of each prefix, through a file of `Layers`.

        Raises:
            ConformanceError: they could not be had.
        """
        attention = self._config.reference.attn_implementation
        job = StatesJob(**self._common(dtype, attention), output=output, prefixes=tuple(prefixes))
        deadline = self._deadline(((len(prefix), 0) for prefix in prefixes), {dtype})
        self._run(job, f"{self._subject.name}: hidden states in {dtype}", deadline)
        found = load_layers(output)
        if found is None:
            raise TraceError(f"{output}: cannot be read; run again")
        return found

    def speed(self, prompt: tuple[int, ...], tokens: int, output: Path) -> None:
        """Leave how long it takes to decode so many tokens after a prompt."""
        common = self._common("float32", self._config.reference.attn_implementation)
        job = SpeedJob(**common, output=output, prompt=prompt, tokens=tokens)
        deadline = self._deadline(decoding(len(prompt), tokens), {"float32"})
        self._run(job, f"{self._subject.name}: speed of the reference", deadline)

    def _common(self, dtype: ReferenceDtype, attention: Attention) -> dict[str, Any]:
        prepared = self._prepared
        return {
            "checkpoint": prepared.reference.folder,
            "checkpoint_digest": folder_digest(prepared.reference.folder),
            "adapter": prepared.adapter,
            "adapter_digest": None if prepared.adapter is None else folder_digest(prepared.adapter),
            "dtype": dtype,
            "attn_implementation": attention,
            "cache": self._cache,
            "trust_remote_code": self._config.serve.trust_remote_code,
        }

    def _deadline(self, lengths: Iterable[tuple[int, int]], dtypes: Iterable[ReferenceDtype]) -> float:
        """Seconds that each pass over sequences of these lengths may take (see `reference_cost`)."""
        said = self._settings.deadline_said(self._config)
        if said is not None:
            return said
        return reference_deadline(reference_cost(self._prepared.reference, list(lengths)).seconds, dtypes)

    def _run(self, job: SeriesJob | SpeedJob | StatesJob, name: str, deadline: float) -> None:
        """Run it while nobody else runs these weights, so that what both want is computed once."""
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_of(self._cache), "computes the same reference", self._jobs.narrator.say):
            self._jobs.run(
                job,
                name,
                deadline,
                environment=self._jobs.on_the_host(),
                python=self._subject.python,
            )
        self._trim()

    @property
    def _cache(self) -> Path:
        """The folder of all that was computed with these weights."""
        return cached_at(REFERENCES, folder_digest(self._prepared.reference.folder))

    def _trim(self) -> None:
        """Bring the cache down to its limit; what this run used stays."""
        removed = trim_references(cache_dir(), self._limit, _STARTED, is_current)
        if removed.entries:
            self._jobs.narrator.say(
                f"The cache's references took more than {size_text(self._limit)} ({LIMIT_VARIABLE}). "
                f"Removed the least recently used: {size_text(removed.size)}"
            )


def _lengths(candidate: Path) -> Iterator[tuple[int, int]]:
    """Prompt tokens and forced tokens of each answer of a trace, which is read when they are wanted."""
    for answer in load_trace(candidate).answers:
        yield len(answer.prompt_ids), len(answer.token_ids)
