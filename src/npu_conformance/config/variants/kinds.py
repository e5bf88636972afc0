"""What a variant's run is: whose tokens it takes, and which reference it is held against."""

from typing import Any

from npu_conformance.config.variants.catalogue import CATALOGUE

JUDGED = ("base", "as_served")
"""The variants every model is judged in."""
_JUDGED_IN_WORDS = {
    "base": "the plainest engine: eager, no prefix caching, no chunking, synchronous",
    "as_served": "all that the config's serve section asks for",
}


def known_changes(variant: str) -> str | None:
    """What a variant changes of base, in words; None for a config's own."""
    if variant in _JUDGED_IN_WORDS:
        return _JUDGED_IN_WORDS[variant]
    return CATALOGUE[variant].changes if variant in CATALOGUE else None


def is_long(variant: str) -> bool:
    """Whether a variant uses the suite's own long texts."""
    return variant in CATALOGUE and CATALOGUE[variant].long


def is_served(variant: str) -> bool:
    """Whether a variant is vLLM's server, asked over HTTP."""
    return variant in CATALOGUE and CATALOGUE[variant].served


def needs_base(variant: str) -> bool:
    """Whether a variant is compared with base, and so needs its trace."""
    return variant not in JUDGED and not is_long(variant)


def scored_with(variant: str) -> str:
    """The variant whose reference a variant is held against: base's where it takes base's tokens, else its own."""
    return "base" if needs_base(variant) else variant


def warms_cache(options: dict[str, Any]) -> bool:
    """Whether an engine with these options keeps prefixes, so that a second forced decode is another than the first."""
    # vLLM's own default is a cache that is on.
    return bool(options.get("enable_prefix_caching", True))
