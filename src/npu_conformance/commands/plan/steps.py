"""The steps of one model's run: what is made first, its engines, its references, each with what it will take."""

from collections.abc import Sequence
from typing import Any

from npu_conformance.audit.published import require_readable
from npu_conformance.checkpoints.inspect import inspect, weight_bytes
from npu_conformance.commands.plan.earlier import last_time
from npu_conformance.commands.plan.estimate import Load, Take, engine_take
from npu_conformance.commands.plan.speed import in_words, speed_take
from npu_conformance.commands.plan.step import Step
from npu_conformance.commands.plan.twins import TWIN_DISK, nominal
from npu_conformance.config.engines import engine
from npu_conformance.config.limits import ReferenceDtype
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import load_prompts
from npu_conformance.config.variants import JUDGED, ranks
from npu_conformance.conversion.plan import refuse_unconvertible
from npu_conformance.machine.capacity import GIB
from npu_conformance.machine.devices import find_devices
from npu_conformance.measure.reference_runs import ReferenceRun
from npu_conformance.run.build_twins import is_whole
from npu_conformance.run.cost import READING, STARTING, Cost, decoding, parameters_of, reference_cost
from npu_conformance.run.deadlines import reference_deadline
from npu_conformance.run.kv_cache import WIDTHS, Length, own_longest
from npu_conformance.run.performance import TOOLS, left_out, workload_of
from npu_conformance.run.preparation import adapter_findings, quantises
from npu_conformance.run.schedule import Engine, Pass, Served, schedule
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings

# Bytes of UTF-8 in a token: about what English takes, and a Chinese character has three.
_BYTES_A_TOKEN = 3
# A conversion works on some rows at a time; bytes a second that it reads, works out and writes. Round numbers.
_CONVERTING_MEMORY, _CONVERTING = 2 * GIB, 0.2 * GIB
# Seconds until prompts are rendered (9 to 13), and until a process that reads weights has begun (4), of twins on 2
# cores of a Xeon at 2.5 GHz.
_RENDERING, _READING_HEADERS = 10, 4
# Logits of candidates a second that checks judge: 2.3e9 of a 0.6B shape's four variants took 154 s on 2 cores when rows
# were read three times.
_JUDGED = 2e7


def model_steps(session: Session, model: str, variants: Sequence[str], before: int) -> list[Step]:
    """What is started for a model, in order.

    Args:
        session: of this command line.
        model: its name.
        variants: those that are selected and can run.
        before: processes that the engines of other models have.

    Raises:
        CheckpointError: its weights cannot be used.
    """
    one = _Model(session, model)
    found = schedule(one.served, variants, scores=session.settings.scores)
    engines = [
        one.engine(asked, number, follows=place > 0)
        for number, group in enumerate(found.processes, start=before + 1)
        for place, asked in enumerate(group)
    ]
    own = next((scored for scored in found.passes if scored.variant in JUDGED), None)
    passes = [step for scored in found.passes for step in one.passes(scored, after=own)]
    measured = one.speed(before + len(found.processes)) if "as_served" in variants else []
    return [one.preparation(), *one.conversion(), *engines, *passes, *measured, one.judging(engines)]


class _Model:
    """A model with its weights as their headers describe them."""

    def __init__(self, session: Session, model: str) -> None:
        self._name = model
        self._settings: Settings = session.settings
        self._reports = session.folder.parent
        self._config: ModelConfig = session.config(model)
        self._subject = session.subject(model)
        self._platform = find_devices(self._settings.device)[0]
        self._twin = self._subject.kind == "twin"
        self._adapted = self._subject.adapter is not None or self._settings.candidate_adapter is not None
        self._built = not self._twin or is_whole(self._subject.reference)
        self._reference = inspect(self._subject.reference) if self._built else nominal(self._subject.reference)
        self._loaded, self._there = self._reference, self._built
        if self._subject.candidate not in (None, self._subject.reference):
            # A twin's original may be there before it.
            self._there = not self._twin or bool(self._settings.candidate_weights) or is_whole(self._subject.candidate)
            self._loaded = inspect(self._subject.candidate) if self._there else nominal(self._subject.candidate)
        if self._built and self._settings.scores:
            require_readable(self._reference)
        if self._built and self._there:
            adapter_findings(self._config, (self._subject.adapter, self._settings.candidate_adapter), self._loaded)
        self._parameters = parameters_of(self._reference)
        prompts = load_prompts(self._config.prompts, self._settings.prompts_dir, self._settings.prompts)
        self._lengths: tuple[Length, ...] = tuple(
            (_tokens((prompt.system or "") + prompt.text), prompt.max_tokens or self._config.max_tokens)
            for prompt in prompts
        )
        self.served = Served(
            self._config,
            self._loaded.text_config,
            self._lengths,
            self._settings.engine_of(self._config),
            self._platform,
            quantises(self._loaded),
        )

    def conversion(self) -> list[Step]:
        """Plain weights for the engine; whether they are in the cache only a digest of all files would tell."""
        if self._subject.candidate is not None or self._config.convert is None:
            return []
        if self._built:
            refuse_unconvertible(self._reference, self._config.convert)
        size = self._parameters * WIDTHS[self._config.convert]
        take = Take(seconds=size / _CONVERTING + 5, memory=_CONVERTING_MEMORY, disk=size)
        return [
            Step(
                kind="conversion",
                model=self._name,
                name=self._config.convert,
                about="plain weights for the engine, unless they are in the cache",
                take=take,
                basis=self._basis,
            )
        ]

    def engine(self, one: Engine, process: int, *, follows: bool) -> Step:
        """An engine's step; `follows` where another runs before it in its process."""
        running = self._runs_already(one)
        take = engine_take(
            self._load(),
            one,
            candidate=self._settings.engine_of(self._config),
            platform=self._platform,
            envs={**self._config.envs, **one.envs},
            follows=follows,
            running=running,
        )
        take, basis = self._as_last_time(one.variant, take, ranks(one.options))
        return Step(
            kind="engine",
            model=self._name,
            name=one.variant,
            about=self._config.changes_in_words(one.variant) + ("; it runs already" if running else ""),
            take=take,
            basis=basis,
            process=process,
            starts=not running,
            needed_by=one.needed_by,
            deadline=self._deadline,
        )

    def _runs_already(self, one: Engine) -> bool:
        """Whether it is somebody else's server."""
        asked = one.mode == "serving" and self._settings.server_for_checks(self._config)[0] is not None
        return asked or engine(self._settings.engine_of(self._config)).remote

    def speed(self, before: int) -> list[Step]:
        """What measures the speed of `as_served`; `before` processes are others'."""
        if (asked := workload_of(self._config, self._settings)) is None:
            return []
        without = left_out(self._loaded.text_config, asked, adapted=self._adapted, scores=self._settings.scores)
        one, load = self.served.engine("as_served"), self._load()
        envs = {**self._config.envs, **one.envs}
        takes = {
            tool: speed_take(tool, asked, load, one.options, self._platform, envs)
            for tool in TOOLS
            if tool not in without
        }
        common: dict[str, Any] = {"model": self._name, "name": one.variant, "basis": self._basis}
        found = [
            Step("engine", about=in_words(tool, asked), take=take, process=number, deadline=self._deadline, **common)
            for number, (tool, take) in enumerate(takes.items(), start=before + 1)
        ]
        if "reference" in without:
            return found
        cost = reference_cost(self._reference, decoding(asked.input_tokens, asked.reference_tokens), "float32")
        take, deadline = Take(cost.seconds, cost.memory, 0), self._reference_deadline(cost, "float32")
        return [*found, Step("reference", about=in_words("reference", asked), take=take, deadline=deadline, **common)]

    def passes(self, one: Pass, after: Pass | None) -> list[Step]:
        """Of a pass the first run, and all that follow it as one: the noise floor.

        Base and `as_served` choose the same tokens but for a few, and what was computed of the one that comes first is
        in the cache; room is counted for both.
        """
        first, *floor = one.runs
        known = after is not None and one.variant in JUDGED and one.variant != after.variant
        return [self._pass(one.variant, first, known), *([self._floor(one.variant, floor, known)] if floor else [])]

    def preparation(self) -> Step:
        """Weights are read, once more for an engine that has others and once to compare them, and prompts rendered."""
        readings = 1 if self._subject.candidate == self._subject.reference else 3
        seconds = _RENDERING + readings * (_READING_HEADERS + self._weights() / READING)
        return Step(
            kind="preparation",
            model=self._name,
            name="",
            about="weights read, prompts rendered",
            take=Take(seconds, GIB, 0),
            basis=self._basis,
        )

    def judging(self, engines: Sequence[Step]) -> Step:
        """The checks of all variants, over the rows that their engines leave."""
        logits = sum(step.take.disk for step in engines) / WIDTHS[self._config.serve.dtype]
        return Step(
            kind="judging",
            model=self._name,
            name="",
            about=f"checks of {len(engines)} variants",
            take=Take(len(engines) + logits / _JUDGED, GIB, 0),
            basis=self._basis,
        )

    def _as_last_time(self, variant: str, take: Take, needed: int) -> tuple[Take, str]:
        """An estimate with what an earlier run measured in its place, and where it comes from."""
        earlier = last_time(
            self._reports,
            self._name,
            variant,
            kind=self._subject.kind,
            candidate=self._settings.engine_of(self._config),
            platform=self._platform,
        )
        if earlier is None:
            return take, self._basis
        # With several ranks what was measured is the process that tells the others what to do.
        memory = take.memory if earlier.memory is None or needed > 1 else earlier.memory
        return Take(earlier.seconds, memory, take.disk, take.scratch), "as last time"

    def _pass(self, variant: str, run: ReferenceRun, known: bool) -> Step:
        cost = self._pass_cost(variant, run.dtype)
        cached = ", most in the cache by then" if known else ""
        return Step(
            kind="reference",
            model=self._name,
            name=variant,
            about=f"{run.name.replace('_', ' ')} in {run.dtype}: {cost.sequences} sequences{cached}",
            take=Take(STARTING if known else cost.seconds, cost.memory, cost.disk),
            basis=self._basis,
            deadline=self._reference_deadline(cost, run.dtype),
            refusable=run.name == "reference" and variant in JUDGED,
        )

    def _floor(self, variant: str, runs: Sequence[ReferenceRun], known: bool) -> Step:
        """All floor runs, of which no whole rows are kept; which are cached only the tokens tell, yet to be chosen."""
        dtype, count = runs[0].dtype, len(runs)
        cost = self._pass_cost(variant, dtype, follows=True)
        alone = ", quantisation alone in float32" if self.served.quantised else ""
        runs_of = f"{count - bool(alone)} floor runs in {dtype}{alone}"
        return Step(
            kind="noise floor",
            model=self._name,
            name=variant,
            about=f"{runs_of}: {cost.sequences} sequences each, unless they are in the cache",
            # One after another: of the memory only one's is held.
            take=Take(0 if known else count * cost.seconds, cost.memory, 0),
            basis=self._basis,
            # Each may take that long.
            deadline=count * self._reference_deadline(cost, dtype),
        )

    def _pass_cost(self, variant: str, dtype: ReferenceDtype, *, follows: bool = False) -> Cost:
        lengths = list(self.served.engine(variant).lengths)
        if variant in JUDGED and self._adapted:
            lengths += [(prompt, 1) for prompt, _ in lengths]
        return reference_cost(self._reference, lengths, dtype, follows=follows)

    def _load(self) -> Load:
        return Load(
            checkpoint=self._loaded,
            weights=self._weights(),
            lengths=self._lengths,
            longest=own_longest(self._loaded.text_config),
            adapted=self._adapted,
        )

    def _weights(self) -> int:
        """Bytes that the engine loads."""
        if self._subject.candidate is None:
            return self._parameters * WIDTHS[self._config.convert or self._config.serve.dtype]
        return weight_bytes(self._loaded) if self._there else TWIN_DISK

    @property
    def _basis(self) -> str:
        return "estimated" if self._built and self._there else "not built yet"

    @property
    def _deadline(self) -> float:
        return self._settings.deadline_for(self._config)

    def _reference_deadline(self, cost: Cost, dtype: ReferenceDtype) -> float:
        return self._settings.deadline_said(self._config) or reference_deadline(cost.seconds, [dtype])


def _tokens(text: str) -> int:
    return 1 + len(text.encode()) // _BYTES_A_TOKEN
