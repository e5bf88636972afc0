"""Variants: named sets of engine options and environment variables.

`base` is the plainest engine, `as_served` the YAML's own; every other changes one thing of base, is made to take
base's tokens, and is compared with base and with the reference at every position.
"""

from npu_conformance.config.variants.catalogue import CATALOGUE, SERVING
from npu_conformance.config.variants.effect import follows, implied_signs, no_effect, signs_of, unconfirmed
from npu_conformance.config.variants.kinds import (
    JUDGED,
    is_long,
    is_served,
    known_changes,
    needs_base,
    scored_with,
    warms_cache,
)
from npu_conformance.config.variants.known import Bound, Envs, Known, Requirement, Sign, Variant
from npu_conformance.config.variants.options import engine_options, merged, ranks, served_features

__all__ = [
    "CATALOGUE",
    "JUDGED",
    "SERVING",
    "Bound",
    "Envs",
    "Known",
    "Requirement",
    "Sign",
    "Variant",
    "engine_options",
    "follows",
    "implied_signs",
    "is_long",
    "is_served",
    "known_changes",
    "merged",
    "needs_base",
    "no_effect",
    "ranks",
    "scored_with",
    "served_features",
    "signs_of",
    "unconfirmed",
    "warms_cache",
]
