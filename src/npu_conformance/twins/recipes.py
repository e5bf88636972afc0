"""What each twin is a stand-in for, its shape and how long it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass

from npu_conformance.errors import ConfigError
from npu_conformance.yamlfile import did_you_mean


@dataclass(frozen=True)
class Recipe:
    """A twin's shape and training. Whatever changes here makes another twin."""

    twin_of: str
    """Hub id of the model it stands in for."""
    layers: int
    hidden: int
    intermediate: int
    query_heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    """Most tokens the tokenizer may have; the embedding has a row for each it got."""
    max_positions: int
    steps: int
    batch_tokens: int
    """Most tokens in one training batch, padding included."""
    learning_rate: float
    seed: int


RECIPES: Mapping[str, Recipe] = {
    "qwen3-guard": Recipe(
        twin_of="Qwen/Qwen3Guard-Gen-4B",
        layers=4,
        hidden=256,
        intermediate=768,
        query_heads=8,
        kv_heads=4,
        head_dim=32,
        vocabulary=2400,
        max_positions=32768,
        steps=600,
        batch_tokens=512,
        learning_rate=1e-3,
        seed=20,
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in RECIPES:
        raise ConfigError(f"twin: no recipe {name!r}{did_you_mean(name, RECIPES)} (recipes: {', '.join(RECIPES)})")
    return RECIPES[name]
