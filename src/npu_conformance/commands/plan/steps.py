"""The steps of one model's run: what is made first, its engines, its references, each with what it will take."""

from collections.abc import Sequence
from typing import Any

from npu_conformance.checkpoints.inspect import inspect, weight_bytes
from npu_conformance.commands.plan.earlier import last_time
from npu_conformance.commands.plan.estimate import Load, Take, engine_take, long_lengths
from npu_conformance.commands.plan.step import Step
from npu_conformance.commands.plan.twins import TWIN_DISK, nominal
from npu_conformance.config.engines import engine
from npu_conformance.config.limits import Dtype
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import load_prompts
from npu_conformance.config.variants import JUDGED, is_long, needs_base, ranks, scored_with
from npu_conformance.machine.capacity import GIB
from npu_conformance.machine.devices import find_devices
from npu_conformance.measure.reference_runs import noise_floor
from npu_conformance.run.build_twins import is_whole
from npu_conformance.run.cost import Cost, parameters_of, reference_cost
from npu_conformance.run.deadlines import reference_deadline
from npu_conformance.run.kv_cache import WIDTHS, Length, bounded, own_longest
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.run.sharing import may_share, processes

# Bytes of UTF-8 in a token: about what English takes, and a Chinese character has three.
_BYTES_A_TOKEN = 3
# A conversion works on some rows at a time; bytes a second that it reads, works out and writes. Round numbers.
_CONVERTING_MEMORY, _CONVERTING = 2 * GIB, 0.2 * GIB


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
    return [*one.conversion(), *one.engines(variants, before), *one.references(variants)]


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
        self._parameters = parameters_of(self._reference)
        prompts = load_prompts(self._config.prompts, self._settings.prompts_dir, self._settings.prompts)
        self._lengths: tuple[Length, ...] = tuple(
            (_tokens((prompt.system or "") + prompt.text), prompt.max_tokens or self._config.max_tokens)
            for prompt in prompts
        )

    def conversion(self) -> list[Step]:
        """Plain weights for the engine; whether they are in the cache only a digest of all files would tell."""
        if self._subject.candidate is not None or self._config.convert is None:
            return []
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

    def engines(self, variants: Sequence[str], before: int) -> list[Step]:
        """Base first, also where only variants that take its tokens are selected; then the others by process."""
        needed = () if "base" in variants else tuple(variant for variant in variants if needs_base(variant))
        first = ["base"] if needed or "base" in variants else []
        groups = processes(list(dict.fromkeys([*first, *variants])), self._shares)
        return [
            self._engine(variant, before + number, follows=place > 0, needed=needed if variant == "base" else ())
            for number, group in enumerate(groups, start=1)
            for place, variant in enumerate(group)
        ]

    def references(self, variants: Sequence[str]) -> list[Step]:
        """Passes over base's tokens, which most variants forced decode, and over those of variants that have their own.

        Each with its noise floor's.
        """
        if not self._settings.scores:
            return []
        scored = {scored_with(variant) for variant in variants}
        also = self._config.reference.also
        found = []
        for variant in sorted(scored, key=lambda one: (one != "base", one)):
            found.append(self._pass(variant, "reference", "float32"))
            found.append(self._floor(variant))
            if also is not None and variant in variants:
                found.append(self._pass(variant, "second reference", also))
        return found

    def _engine(self, variant: str, process: int, *, follows: bool, needed: tuple[str, ...]) -> Step:
        options = self._options(variant)
        take = engine_take(
            self._load(),
            variant,
            options,
            candidate=self._settings.candidate,
            platform=self._platform,
            envs={**self._config.envs, **self._config.changed_envs(variant)},
            follows=follows,
        )
        take, basis = self._as_last_time(variant, take, ranks(options))
        return Step(
            kind="engine",
            model=self._name,
            name=variant,
            about=self._config.changes_in_words(variant),
            take=take,
            basis=basis,
            process=process,
            needed_by=needed,
            deadline=self._deadline,
        )

    def _as_last_time(self, variant: str, take: Take, needed: int) -> tuple[Take, str]:
        """An estimate with what an earlier run measured in its place, and where it comes from."""
        earlier = last_time(
            self._reports,
            self._name,
            variant,
            kind=self._subject.kind,
            candidate=self._settings.candidate,
            platform=self._platform,
        )
        if earlier is None:
            return take, self._basis
        # With several ranks what was measured is the process that tells the others what to do.
        memory = take.memory if earlier.memory is None or needed > 1 else earlier.memory
        return Take(earlier.seconds, memory, take.disk, take.scratch), "as last time"

    def _pass(self, variant: str, name: str, dtype: Dtype) -> Step:
        cost = self._pass_cost(variant, dtype)
        return Step(
            kind="reference",
            model=self._name,
            name=variant,
            about=f"{name} in {dtype}: {cost.sequences} sequences",
            take=Take(cost.seconds, cost.memory, cost.disk),
            basis=self._basis,
            deadline=self._reference_deadline(cost, dtype),
            refusable=dtype == "float32" and variant in JUDGED,
        )

    def _floor(self, variant: str) -> Step:
        """The passes of all floor runs; which are cached only the tokens tell, that the engine has yet to choose."""
        dtype = self._config.serve.dtype
        passes = len(noise_floor(dtype, self._config.reference.attn_implementation))
        cost = self._pass_cost(variant, dtype)
        return Step(
            kind="noise floor",
            model=self._name,
            name=variant,
            about=f"{passes} floor runs in {dtype}: {cost.sequences} sequences each, unless they are in the cache",
            # One after another: of the memory only one's is held.
            take=Take(passes * cost.seconds, cost.memory, passes * cost.disk),
            basis=self._basis,
            # Each may take that long.
            deadline=passes * self._reference_deadline(cost, dtype),
        )

    def _pass_cost(self, variant: str, dtype: str) -> Cost:
        lengths = list(self._lengths)
        if variant not in JUDGED:
            lengths = list(long_lengths(self._lengths, self._options(variant).get("max_model_len") or self._longest))
        elif self._adapted:
            lengths += [(prompt, 1) for prompt, _ in self._lengths]
        return reference_cost(self._reference, lengths, WIDTHS[dtype])

    def _load(self) -> Load:
        return Load(
            parameters=self._parameters,
            weights=self._weights(),
            vocabulary=int(self._reference.text_config.get("vocab_size", 0)),
            lengths=self._lengths,
            longest=self._longest,
            config=self._reference.text_config,
            adapted=self._adapted,
        )

    def _weights(self) -> int:
        """Bytes that the engine loads."""
        candidate = self._subject.candidate
        if candidate is None:
            return self._parameters * WIDTHS[self._config.convert or self._config.serve.dtype]
        if candidate != self._subject.reference:
            return weight_bytes(inspect(candidate))
        return weight_bytes(self._reference) if self._built else TWIN_DISK

    def _options(self, variant: str) -> dict[str, Any]:
        """As the run's engine has them, see `Candidates`."""
        options = self._config.options(variant)
        if self._platform != "cpu" or not engine(self._settings.candidate).kv_cache or variant == "as_served":
            return options
        config, base = self._reference.text_config, self._config.options("base")
        return options | bounded(config, options, base, self._lengths, long=is_long(variant))

    def _shares(self, variant: str) -> bool:
        envs = self._config.changed_envs(variant)
        return may_share(variant, self._options(variant), self._settings.candidate, self._platform, envs)

    @property
    def _longest(self) -> int | None:
        return own_longest(self._reference.text_config)

    @property
    def _basis(self) -> str:
        return "estimated" if self._built else "not built yet"

    @property
    def _deadline(self) -> float:
        return self._settings.deadline_for(self._config)

    def _reference_deadline(self, cost: Cost, dtype: Dtype) -> float:
        return self._settings.deadline_said(self._config) or reference_deadline(cost.seconds, [dtype])


def _tokens(text: str) -> int:
    return 1 + len(text.encode()) // _BYTES_A_TOKEN
