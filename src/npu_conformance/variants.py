"""Variants: named sets of engine options.

`base` is the plainest engine, `as_served` the YAML's own; every other changes one thing of base, walks base's tokens,
and is compared with base and with the reference at every position.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from npu_conformance.devices import Platform

if TYPE_CHECKING:
    from npu_conformance.config import Serve

JUDGED = ("base", "as_served")
"""The variants every model is judged in."""
_JUDGED_IN_WORDS = {
    "base": "the plainest engine: eager, no prefix caching, no chunking, synchronous",
    "as_served": "all that the config's serve section asks for",
}

Sign = Literal["cached_tokens", "prefills_of_a_prompt", "preemptions", "graph", "experts", "drafts", "lora_layers"]
"""What an engine shows of a feature that took effect, by its key among a trace's observations."""


class Variant(BaseModel):
    """What a variant changes of `base`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """As `-k` selects it."""
    options: dict[str, Any]
    """VLLM engine arguments."""

    @field_validator("options")
    @classmethod
    def _not_corrupting(cls, options: dict[str, Any]) -> dict[str, Any]:
        refuse_corrupting(options)
        return options


def refuse_corrupting(options: dict[str, Any]) -> None:
    """Refuse engine arguments with which a comparison would mean nothing.

    Raises:
        ValueError: log-probs would be wrong by design, or the candidate another model than the reference.
    """
    additional = options.get("additional_config") or {}
    if not isinstance(additional, dict):
        told = f"additional_config: expected a mapping, found {additional!r}"
        raise ValueError(told)  # noqa: TRY004 (what pydantic tells)
    if additional.get("enable_reduce_sample"):
        raise ValueError(
            "additional_config.enable_reduce_sample makes vLLM-Ascend compute log-probs over a part of the "
            "vocabulary only; nothing measured with it would mean anything: remove it"
        )
    if "hf_overrides" in options:
        raise ValueError(
            "hf_overrides: would change the candidate's model and not the reference's; write a copy of the checkpoint "
            "with another config.json instead"
        )


class Known(BaseModel):
    """A variant of the catalogue: options, and what is known of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, Any]
    changes: str
    """In words."""
    platform: Platform | None = None
    """The one platform that has it."""
    needs: Sign | None = None
    """Without this sign in the run the variant did not take effect, and is not judged."""
    bitwise: bool = False
    """Must give base's logits bit for bit."""
    tokens_only: bool = False
    """The engine refuses logits processors: it generates, and its tokens are compared."""
    long: bool = False
    """Walks long texts of its own instead of base's prompts."""
    tight_cache: bool = False
    """The KV cache holds the longest request and hardly more."""
    lacking: dict[Platform, str] = {}
    """Why the engine of a platform cannot run it."""


# Option names and values are vLLM-Ascend 0.23's (ascend_config.py, platform.py); none of them was run here.
def _ascend(changes: str, **additional: Any) -> Known:
    return Known(options={"additional_config": additional}, changes=changes, platform="npu")


def _ascend_graph(mode: str, changes: str | None = None, **additional: Any) -> Known:
    options: dict[str, Any] = {"enforce_eager": False, "compilation_config": {"cudagraph_mode": mode}}
    return Known(
        options=options | ({"additional_config": additional} if additional else {}),
        changes=changes or f"graphs captured in mode {mode}",
        platform="npu",
        needs="graph",
    )


CATALOGUE: dict[str, Known] = {
    "graph": Known(
        options={"enforce_eager": False},
        changes="compiled or captured graphs, in the platform's own mode",
        needs="graph",
    ),
    "graph_piecewise": _ascend_graph("PIECEWISE"),
    "graph_full": _ascend_graph("FULL"),
    "graph_full_decode_only": _ascend_graph("FULL_DECODE_ONLY"),
    "prefix_caching": Known(
        options={"enable_prefix_caching": True},
        changes="prompts whose prefix is in the KV cache already",
        needs="cached_tokens",
    ),
    "chunked_prefill": Known(
        options={"enable_chunked_prefill": True, "max_num_batched_tokens": 128, "max_num_seqs": 16},
        changes="prompts in chunks of 128 tokens",
        needs="prefills_of_a_prompt",
    ),
    "async_scheduling": Known(
        options={"async_scheduling": True}, changes="the next step scheduled while the last one runs"
    ),
    "preemption": Known(
        options={"disable_log_stats": False},
        changes="a KV cache too small for the batch",
        needs="preemptions",
        tight_cache=True,
    ),
    "fresh_engine": Known(options={}, changes="nothing: another start of base", bitwise=True),
    "tp2": Known(options={"tensor_parallel_size": 2}, changes="sharded over two devices"),
    "tp4": Known(options={"tensor_parallel_size": 4}, changes="sharded over four devices"),
    "pp2": Known(
        options={"pipeline_parallel_size": 2},
        changes="layers in two stages",
        lacking={"cpu": "vLLM 0.32's model runner for the CPU has no tensors for the second stage"},
    ),
    "ep": Known(
        options={"tensor_parallel_size": 2, "enable_expert_parallel": True},
        changes="experts distributed over two devices",
        needs="experts",
    ),
    "dp2": Known(
        options={"data_parallel_size": 2},
        changes="two replicas",
        lacking=dict.fromkeys(("npu", "cuda", "cpu"), "vLLM's LLM class refuses data_parallel_size > 1"),
    ),
    "lora": Known(options={"enable_lora": True}, changes="LoRA kernels on, no adapter asked for", needs="lora_layers"),
    "spec_decode": Known(
        options={
            "speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4},
            "disable_log_stats": False,
        },
        changes="speculative decoding from n-grams of the prompt",
        needs="drafts",
        tokens_only=True,
    ),
    "long_prompt": Known(options={}, changes="prompts of more than 1,000 and 4,000 tokens", long=True),
    "weight_nz_off": _ascend("weights in plain layout", weight_nz_mode=0),
    "weight_nz_all": _ascend("all weights in NZ layout", weight_nz_mode=2),
    "npugraph_ex_off": _ascend_graph(
        "FULL_DECODE_ONLY", "graphs without npugraph_ex", ascend_compilation_config={"enable_npugraph_ex": False}
    ),
    "fusions_off": _ascend_graph(
        "FULL_DECODE_ONLY",
        "graphs without fused operators",
        ascend_compilation_config={"fuse_norm_quant": False, "fuse_qknorm_rope": False, "fuse_muls_add": False},
    ),
}
"""Variants by name. A config may also bring its own: a mapping with `name` and `options`."""


def known_changes(variant: str) -> str | None:
    """What a variant changes of base, in words; None for a config's own."""
    if variant in _JUDGED_IN_WORDS:
        return _JUDGED_IN_WORDS[variant]
    return CATALOGUE[variant].changes if variant in CATALOGUE else None


def is_long(variant: str) -> bool:
    """Whether a variant walks long texts of its own."""
    return variant in CATALOGUE and CATALOGUE[variant].long


def needs_base(variant: str) -> bool:
    """Whether a variant is compared with base, and so needs its trace."""
    return variant not in JUDGED and not is_long(variant)


def scored_with(variant: str) -> str:
    """The variant whose reference a variant is held against: base's where it walks base's tokens, else its own."""
    return "base" if needs_base(variant) else variant


def walks_warm(options: dict[str, Any]) -> bool:
    """Whether an engine with these options keeps prefixes, so that a second walk is another than the first."""
    # vLLM's own default is a cache that is on.
    return bool(options.get("enable_prefix_caching", True))


# What makes `base` the plainest engine: every feature that reorders arithmetic or reuses state is off.
_BASE: dict[str, Any] = {
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "enable_chunked_prefill": False,
    "async_scheduling": False,
}


def engine_options(serve: "Serve", variant: str, changed: dict[str, Any] | None = None) -> dict[str, Any]:
    """VLLM engine arguments of a variant.

    Args:
        serve: the config's serve section.
        variant: `base`, `as_served` or another's name.
        changed: what that other changes of `base`.
    """
    served = serve.model_dump(exclude_none=True, exclude={"engine_args", "trust_remote_code"})
    options = {**served, **serve.engine_args}
    if variant == "as_served":
        return options
    # Without chunking a prompt must fit into one step, so the YAML's own, perhaps smaller, step is dropped.
    options.pop("max_num_batched_tokens", None)
    options.pop("compilation_config", None)
    return merged({**options, **_BASE}, changed or {})


def merged(options: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Options with others on top; of mappings entry by entry, and without those that are None: vLLM's own default."""
    both = {
        key: merged(options[key], value) if isinstance(options.get(key), dict) and isinstance(value, dict) else value
        for key, value in changed.items()
    }
    return {key: value for key, value in {**options, **both}.items() if value is not None}


def served_features(serve: "Serve") -> dict[str, dict[str, Any]]:
    """What `as_served` changes of `base`, option by option, as variants of their own."""
    base, served = engine_options(serve, "base"), engine_options(serve, "as_served")
    changed = {name: served.get(name) for name in {*base, *served} if base.get(name) != served.get(name)}
    return {name: {name: value} for name, value in sorted(changed.items())}


def ranks(options: dict[str, Any]) -> int:
    """Devices that engine options need."""
    return int(options.get("tensor_parallel_size", 1)) * int(options.get("pipeline_parallel_size", 1))


def signs_of(variant: str, options: dict[str, Any]) -> tuple[Sign, ...]:
    """The signs that a variant must leave: the catalogue's, or for one of a config's own those its options imply."""
    known = CATALOGUE.get(variant)
    if known is not None:
        return () if known.needs is None else (known.needs,)
    return implied_signs(options)


def implied_signs(options: dict[str, Any]) -> tuple[Sign, ...]:
    """The signs that engine options must leave, by what they switch on."""
    signs: dict[str, Sign] = {
        "enable_prefix_caching": "cached_tokens",
        "enable_lora": "lora_layers",
        "enable_expert_parallel": "experts",
    }
    graph: tuple[Sign, ...] = ("graph",) if options.get("enforce_eager") is False else ()
    return (*graph, *(sign for name, sign in signs.items() if options.get(name)))


def no_effect(options: dict[str, Any], needs: Sequence[Sign], provenance: dict[str, Any]) -> str | None:
    """Why a run is one of `base`: an option the engine did not follow, a sign that is missing.

    Args:
        options: what was changed of base's.
        needs: the signs that tell it took effect.
        provenance: of the candidate's trace, with what was effective and observed.
    """
    effective = provenance.get("effective", {})
    compilation = options.get("compilation_config")
    asked = {**options, **(compilation if isinstance(compilation, dict) else {})}
    for name, value in asked.items():
        if name in effective and not follows(value, effective[name]):
            return f"asked for {name} {value!r}, the engine ran with {effective[name]!r}"
    observed = provenance.get("observed", {})
    for sign in needs:
        least, seen = 2 if sign == "prefills_of_a_prompt" else 1, observed.get(sign, 0)
        if seen < least:
            return f"{sign.replace('_', ' ')}: {seen} in this run, at least {least} show the feature"
    return None


def follows(asked: Any, effective: Any) -> bool:
    """Whether what is effective is what was asked; None asks for vLLM's own default, of a mapping each entry counts."""
    if isinstance(asked, dict) and isinstance(effective, dict):
        return all(follows(value, effective.get(key)) for key, value in asked.items())
    if isinstance(asked, str) and isinstance(effective, str):
        return asked.upper() == effective.upper()  # vLLM takes names of modes in either case
    return asked is None or asked == effective
