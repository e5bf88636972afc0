"""From a twin's name to its recipe, and to what that is made from."""

import re
from dataclasses import replace
from pathlib import Path

from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.errors import ConfigError
from npu_conformance.twins.derived import CONFIG, FILES, derived_recipe
from npu_conformance.twins.recipes import RECIPES, Recipe, Stored, Taught


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    It may be `NAME-seedN`: the same kind of twin, and the one it is made from, trained anew. Or the path of a model's
    config.json, or of the adapter_config.json beside it: a twin derived from that.

    Raises:
        ConfigError: there is none, or none can be derived.
    """
    if (path := Path(name)).name in FILES:
        return derived_recipe(path)
    if (seeded := re.fullmatch(r"(.+)-seed(\d+)", name)) is not None:
        return _seeded(find_recipe(seeded[1]), int(seeded[2]))
    if name not in RECIPES:
        raise ConfigError(f"twin: no recipe {name!r}{did_you_mean(name, RECIPES)} (recipes: {', '.join(RECIPES)})")
    return RECIPES[name]


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    if not isinstance(recipe, Stored):
        recipe = replace(recipe, training=replace(recipe.training, seed=seed))
    return recipe if isinstance(recipe, Taught) else replace(recipe, base=f"{recipe.base}-seed{seed}")


def architecture_of(name: str) -> str:
    """The `model_type` of a recipe's network, or of the one it is made from.

    Raises:
        ConfigError: there is no such recipe.
    """
    recipe = find_recipe(name)
    return recipe.architecture if isinstance(recipe, Taught) else architecture_of(recipe.base)


def base_of(name: str) -> str | None:
    """The recipe a twin is made from; None for one that is trained from nothing."""
    recipe = find_recipe(name)
    return None if isinstance(recipe, Taught) else recipe.base


def called(name: str) -> str:
    """What a twin is called in messages and in the cache: one that is derived by the folder of its model's files."""
    path = Path(name)
    if path.name not in FILES:
        return name
    return f"derived-{path.parent.name}{'' if path.name == CONFIG else '-lora'}"
