"""Twins: small trained stand-ins for models whose weights are not at hand.

A twin has its model's architecture class, checkpoint format and form of chat template, so the whole path runs on
any machine. It never counts as the model.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from npu_conformance.twins.build import build
from npu_conformance.twins.finding import architecture_of, base_of, called, find_recipe
from npu_conformance.twins.recipes import RECIPES, Adapted

# What a twin depends on of the interpreter that trains it.
_PACKAGES = ("torch", "transformers", "tokenizers", "peft")
__all__ = ["RECIPES", "Adapted", "architecture_of", "base_of", "build", "called", "find_recipe", "recipe_digest"]


def recipe_digest(name: str, prompts_dir: Path, packages: Mapping[str, str]) -> str:
    """A hex digest that changes whenever the built twin would.

    It covers the source of this package, the recipe, the prompt sets, and the versions of what trains it.

    Args:
        name: of the recipe.
        prompts_dir: the folder of prompt sets.
        packages: versions of that interpreter's packages, by name.

    Raises:
        ConfigError: there is no such recipe.
    """
    base = base_of(name)
    about = (name, find_recipe(name), base and recipe_digest(base, prompts_dir, packages))
    digest = hashlib.sha256(repr(about).encode())
    for path in [*sorted(Path(__file__).parent.glob("*.py")), *sorted(prompts_dir.glob("*.yaml"))]:
        content = path.read_bytes()
        # The length in front keeps "ab" + "c" from looking like "a" + "bc".
        digest.update(f"\n{path.name} {len(content)}\n".encode() + content)
    digest.update(repr([(package, packages.get(package)) for package in _PACKAGES]).encode())
    return digest.hexdigest()
