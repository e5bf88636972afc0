"""A model whose engines and reference are made up, for tests of a whole bisection.

An engine's logits are base's with a fault where all guilty features are on; a reference's states are random numbers
that only depend on the prefix, an engine's are those with rounding and, from a layer on, with the fault.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from npu_conformance.audit.scan import Scan
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.checks.evidence import Evidence
from npu_conformance.commands.bisect.finding import Finding
from npu_conformance.commands.bisect.runs import Runs
from npu_conformance.commands.bisect.search import search
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import JobError
from npu_conformance.measure.floor import load_floor
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.model_run import ModelRun
from npu_conformance.run.settings import Settings
from npu_conformance.traces.layers import Layers
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import BOUNDARY, COLD, load_trace
from npu_conformance.workers.job import CandidateJob
from npu_conformance.workers.jobs import Jobs
from tests.unit.helpers.small_traces import logits, moved, tokens_of, write_floor, write_trace

POINTS = ("embedding", "model.layers.0", "model.layers.1", "final norm")
FEATURES = {name: {name: True} for name in ("async", "cache", "graph", "lora")}
ROUNDING = 0.001


@dataclass
class Model:
    """Four prompts of six steps and two block-boundary prompts of four; every file lies in one folder."""

    folder: Path
    config: ModelConfig = field(default_factory=lambda: ModelConfig(model="a/b"))
    features: dict[str, dict[str, Any]] = field(default_factory=lambda: FEATURES)
    guilty: set[str] = field(default_factory=set)
    """Options that must all be on for the fault; base has it where there are none."""
    parts: tuple[str, ...] = ("answers",)
    """Where the fault is."""
    prompt: int = 2
    everywhere: bool = False
    """Whether it is in the other prompts as well."""
    steps: slice = field(default_factory=lambda: slice(3, None))
    by: float = 0.5
    """Relative L2 distance of the fault, of rows and of states."""
    layer: int | None = 2
    """Point from which on states show it."""
    hides_from_tap: bool = False
    refuses: str = ""
    """Jobs with this in their name fail."""
    width: int = 4096
    """Hidden size, as its config has it."""
    unsteady: float = 0.0
    """By how much each forced decode with base's options is off, another time otherwise."""
    observed: dict[str, int] = field(default_factory=lambda: {"graph": 1, "lora_layers": 1})
    """What every engine shows of its features."""
    jobs: list[tuple[str, CandidateJob, dict[str, str]]] = field(default_factory=list)
    references: list[tuple[str, str]] = field(default_factory=list)
    """What the reference was asked for: file or folder, and dtype."""

    def __post_init__(self) -> None:
        self.exact = {"answers": logits(4, 6), "boundary": logits(2, 4, seed=9)}
        self.base = {part: [moved(one, ROUNDING, seed=1) for one in rows] for part, rows in self.exact.items()}

    def lay_out(self, *, wrong: Sequence[tuple[slice, float]] = (), repeats: bool = True) -> "Model":
        """Leave base's traces and their reference's.

        Args:
            wrong: steps of the fault's prompt that are off in base, and by how much.
            repeats: whether base's second run gave the same rows.
        """
        rows = [one.copy() for one in self.base["answers"]]
        for steps, by in wrong:
            rows[self.prompt][steps] = moved(rows[self.prompt][steps], by)
        tokens, again = tokens_of(self.base["answers"]), [one.copy() for one in rows]
        if not repeats:
            again[0][1] *= np.float32(1.001)
        folder = self.folder / "base"
        write_trace(folder / "candidate", rows, tokens=tokens, repeated=again, forced=False)
        write_trace(folder / "candidate" / BOUNDARY, self.base["boundary"], name="boundary")
        write_trace(folder / "reference", self.exact["answers"], tokens=tokens)
        write_floor(folder, "sdpa", [moved(one, ROUNDING, seed=3) for one in self.exact["answers"]])
        self.base["answers"] = rows
        return self

    def evidence(self) -> Evidence:
        """Base's candidate and reference."""
        base = self.folder / "base"
        scan, reference = Scan(findings=(), tensors=()), load_trace(base / "reference")
        candidate = load_trace(base / "candidate")
        return Evidence("base", self.config, (), candidate, reference, scan, noise=load_floor(base))

    def model_run(self) -> ModelRun:
        """Candidates and references that are made up."""
        text = {"hidden_size": self.width, "num_hidden_layers": 30}
        candidate = SimpleNamespace(folder=self.folder, text_config=text)
        prepared = SimpleNamespace(candidate=candidate, adapter=None, lengths=(), quantised=False)
        subject, settings = Subject("model", "real", self.folder, self.folder), Settings(self.folder)
        real = Candidates(self.config, subject, cast(Any, prepared), self.folder, settings, cast(Any, None))
        candidates = SimpleNamespace(forced=real.forced, environment=self._environment)
        references = SimpleNamespace(states=self._reference_states)
        return ModelRun(self.folder, cast(Any, prepared), cast(Any, candidates), cast(Any, references))

    def _environment(self, options: dict[str, Any], envs: dict[str, str]) -> dict[str, str]:
        return {"FOR": ",".join(self.changed(options)), **envs}

    def changed(self, options: dict[str, Any]) -> dict[str, Any]:
        """Those that are not base's."""
        base = self.config.options("base")
        return {name: value for name, value in options.items() if name not in base or base[name] != value}

    def runs(self) -> Runs:
        """The real thing, with engines that are made up."""
        return Runs(self.config, self.model_run(), cast(Jobs, SimpleNamespace(run=self._run)), 60.0, self.features)

    def _run(self, job: CandidateJob, name: str, deadline: float, *, environment: dict[str, str]) -> None:
        assert deadline == 60.0
        assert not job.output.exists()
        self.jobs.append((name, job, environment))
        if self.refuses and self.refuses in name:
            raise JobError(f"{name}: the worker was killed by signal SIGKILL")
        assert job.tokens_of is not None
        base = load_trace(job.tokens_of)
        faulty = self.guilty <= job.options.keys() and not (self.hides_from_tap and job.watched)
        states = [self._engine_states(at.part, at.prompt, at.step, faulty) for at in job.watched]
        layers = Layers(POINTS, np.array(states, dtype=np.float32)) if states else None
        tokens = [answer.token_ids for answer in base.answers]
        write_trace(job.output, self._rows("answers", faulty), tokens=tokens, states=layers, observed=self.observed)
        given = tokens_of(self.base["boundary"])
        write_trace(job.output / BOUNDARY, self._rows("boundary", faulty), tokens=given, name="boundary")
        if job.mode == "forced warm":
            write_trace(job.output / COLD, self._rows("cold", faulty), tokens=tokens)

    def _rows(self, part: str, faulty: bool) -> list[Rows]:
        rows = [one.copy() for one in self.base["boundary" if part == "boundary" else "answers"]]
        if faulty and self.guilty and part in self.parts:
            for index in range(len(rows)) if self.everywhere else (self.prompt,):
                rows[index][self.steps] = moved(rows[index][self.steps], self.by, seed=index)
        if self.unsteady and part == "answers":
            rows[1][2:] = moved(rows[1][2:], self.unsteady, seed=len(self.jobs))
        return rows

    def _engine_states(self, part: str, prompt: int, step: int, faulty: bool) -> Rows:
        base = load_trace(self.folder / "base" / "candidate")
        trace = base.part(BOUNDARY) if part == "boundary" else base
        assert trace is not None
        answer = trace.answers[prompt]
        states = moved(states_of((*answer.prompt_ids, *answer.token_ids[:step])), ROUNDING, seed=prompt)
        if faulty and self.layer is not None and (self.everywhere or prompt == self.prompt):
            states[self.layer :] = moved(states[self.layer :], self.by)
        if self.unsteady:
            states[1:] = moved(states[1:], self.unsteady, seed=len(self.jobs))
        return states

    def _reference_states(self, prefixes: Sequence[tuple[int, ...]], output: Path, dtype: str) -> Layers:
        self.references.append((output.name, dtype))
        if self.refuses and self.refuses in output.name:
            raise JobError("the reference was killed")
        states = np.array([states_of(prefix) for prefix in prefixes])
        return Layers(POINTS, states if dtype == "float32" else moved(states, ROUNDING, seed=5))


def states_of(prefix: tuple[int, ...]) -> Rows:
    """The reference's hidden states at the end of a prefix [points, width]."""
    seed = zlib.crc32(repr(tuple(map(int, prefix))).encode())
    return np.random.default_rng(seed).normal(size=(len(POINTS), 32)).astype(np.float32)


def searched(model: Model) -> Finding | None:
    """The search's result."""
    return search(model.runs(), model.model_run(), model.evidence())


def found(model: Model) -> Finding:
    """The search's finding, which there must be."""
    finding = searched(model)
    assert finding is not None
    assert finding.model == "a/b"
    return finding
