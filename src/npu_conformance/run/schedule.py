"""What is to be made of a model and in which order: its engines by process, and the passes of its reference.

A run executes it and `--conformance-plan` prints it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npu_conformance.config.engines import engine
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE, JUDGED, is_long, is_served, needs_base, scored_with, warms_cache
from npu_conformance.engines.vllm.boundary import LONGEST_TEXT, long_texts
from npu_conformance.machine.devices import Platform
from npu_conformance.measure.reference_runs import ReferenceRun, noise_floor, quantisation, reference
from npu_conformance.run.kv_cache import Length, bounded, own_longest
from npu_conformance.run.sharing import may_share, processes
from npu_conformance.workers.job import Mode

# Prompts whose hidden states are compared layer by layer.
_LAYER_PROMPTS = 8
# Prompts of whose last tokens each attention and MLP is computed again.
_MODULE_PROMPTS = 24


@dataclass(frozen=True)
class Engine:
    """The engine of a variant, and what it is asked."""

    variant: str
    mode: Mode
    options: dict[str, Any]
    """Engine options, with a longest request where the engine is to have one; without those of a LoRA."""
    envs: Mapping[str, str]
    """Environment variables on top of the config's."""
    lengths: tuple[Length, ...]
    """Tokens before and in each sequence that it answers or is made to take."""
    takes_base: bool
    """Whether it is made to take base's tokens."""
    tight_cache: bool
    """The KV cache is to hold the longest request and hardly more."""
    layer_prompts: int
    """Prompts whose hidden states are kept."""
    module_prompts: int
    """Prompts of which is kept what attentions and MLPs are given and give."""
    needed_by: tuple[str, ...] = ()
    """Variants for whose sake it runs though it is not selected itself."""


@dataclass(frozen=True)
class Pass:
    """The reference over one candidate's tokens: its runs come one after another, in one process."""

    variant: str
    """Whose tokens."""
    runs: tuple[ReferenceRun, ...]

    @property
    def name(self) -> str:
        """The first run's, after which it is called."""
        return self.runs[0].name


@dataclass(frozen=True)
class Schedule:
    """What is to be made of a model, in order."""

    processes: tuple[tuple[Engine, ...], ...]
    passes: tuple[Pass, ...]


@dataclass(frozen=True)
class Served:
    """All that decides about a model's engines."""

    config: ModelConfig
    checkpoint: Mapping[str, Any]
    """config.json of the language model that engines load."""
    lengths: Sequence[Length]
    """Of the run's requests, rendered or estimated."""
    candidate: str
    """The engine under test, as `--candidate` names it."""
    platform: Platform
    quantised: bool = False
    """Whether the engine quantises what enters its layers, and floor runs can do so too."""

    @property
    def on_cpu(self) -> bool:
        """Whether engines are vLLM's on a CPU, whose memory they share with all else."""
        return engine(self.candidate).kv_cache and self.platform == "cpu"

    def bounded(self, options: dict[str, Any], *, long: bool = False) -> dict[str, Any]:
        """Options with a longest request where engines share the host's memory and the YAML names none."""
        if not self.on_cpu:
            return options
        return options | bounded(self.checkpoint, options, self.config.options("base"), self.lengths, long=long)

    def engine(self, variant: str, needed_by: tuple[str, ...] = ()) -> Engine:
        """A variant's engine; `as_served` alone keeps vLLM's own longest request."""
        known, options = CATALOGUE.get(variant), self.config.options(variant)
        mode = _mode(variant, options)
        if variant != "as_served" and not is_served(variant):
            options = self.bounded(options, long=is_long(variant))
        return Engine(
            variant=variant,
            mode=mode,
            options=options,
            envs=self.config.changed_envs(variant),
            lengths=self._long(options) if mode == "forced long" else tuple(self.lengths),
            takes_base=mode in ("forced", "forced warm"),
            tight_cache=known is not None and known.tight_cache,
            layer_prompts=_LAYER_PROMPTS if variant == "base" else 0,
            module_prompts=_MODULE_PROMPTS if variant == "base" else 0,
            needed_by=needed_by,
        )

    def _long(self, options: Mapping[str, Any]) -> tuple[Length, ...]:
        """Of the long texts that fit into such an engine."""
        longest = options.get("max_model_len") or own_longest(self.checkpoint) or LONGEST_TEXT
        texts = long_texts([[0] * prompt for prompt, _ in self.lengths], longest) if self.lengths else {}
        return tuple((len(text.prompt_ids), text.length) for text in texts.values())


def schedule(served: Served, variants: Sequence[str], *, made: Collection[str] = (), scores: bool = True) -> Schedule:
    """What is to be made.

    Args:
        served: the model, as it is served here.
        variants: those that are selected and can run, in the order of their tests.
        made: variants whose engines ran already.
        scores: whether the reference is to run here.
    """
    needed = tuple(variant for variant in variants if needs_base(variant))
    first = ["base"] if needed or "base" in variants else []
    by_name = {
        variant: served.engine(variant, needed if variant == "base" and "base" not in variants else ())
        for variant in dict.fromkeys((*first, *variants))
        if variant not in made
    }
    groups = processes(list(by_name), lambda variant: _shares(served, by_name[variant]))
    return Schedule(
        processes=tuple(tuple(by_name[variant] for variant in group) for group in groups),
        passes=passes(served.config, variants, quantised=served.quantised) if scores else (),
    )


def passes(config: ModelConfig, variants: Sequence[str], *, quantised: bool = False) -> tuple[Pass, ...]:
    """The passes of the reference that variants are held against, each once, in the order in which they are wanted.

    Args:
        config: of the model.
        variants: in the order of their tests.
        quantised: see `Served`.
    """
    return tuple(dict.fromkeys(one for variant in variants for one in _passes(config, variant, quantised)))


def _passes(config: ModelConfig, variant: str, quantised: bool) -> list[Pass]:
    """Over base's tokens where it takes those, else over its own; there the second reference looks too."""
    dtype, attention, also = config.serve.dtype, config.reference.attn_implementation, config.reference.also
    scored = scored_with(variant)
    cost = (quantisation(attention),) if quantised else ()
    found = [Pass(scored, (reference(dtype, attention), *noise_floor(dtype, attention), *cost))]
    if also is not None and scored == variant:
        found.append(Pass(scored, (ReferenceRun("second_reference", also, attention),)))
    return found


def _mode(variant: str, options: dict[str, Any]) -> Mode:
    """What a variant's engine is asked."""
    if variant in JUDGED:
        return "generate"
    known = CATALOGUE.get(variant)
    if known is not None and known.served:
        return "serving"
    if known is not None and known.tokens_only:
        return "tokens only"
    if known is not None and known.long:
        return "forced long"
    return "forced warm" if warms_cache(options) else "forced"


def _shares(served: Served, one: Engine) -> bool:
    return may_share(one.variant, one.options, served.candidate, served.platform, one.envs)
