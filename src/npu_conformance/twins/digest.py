"""When a twin is to be built anew: a digest of all that makes it, and of nothing else."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from npu_conformance.twins.finding import base_of, called, find_recipe
from npu_conformance.twins.recipes import Adapted, Derived, Recipe, Stored, Taught, Trained

# What a twin depends on of the interpreter that trains it.
_PACKAGES = ("torch", "transformers", "tokenizers", "peft")
_SOURCE = Path(__file__).parent


def _always(_: Recipe) -> bool:
    return True


def _never(_: Recipe) -> bool:
    return False


def _quantised(recipe: Recipe) -> bool:
    return isinstance(recipe, Stored | Derived) and recipe.format is not None


# Whose digest covers a file of this package; one that is not named here is covered by all.
_COVERED_BY: Mapping[str, Callable[[Recipe], bool]] = {
    # They make nothing, or only the recipe, whose every field is covered.
    "__init__.py": _never,
    "digest.py": _never,
    "finding.py": _never,
    "job.py": _never,
    "recipes.py": _never,
    "adapter.py": lambda recipe: isinstance(recipe, Adapted),
    "derived.py": lambda recipe: isinstance(recipe, Derived),
    "shrink.py": lambda recipe: isinstance(recipe, Derived),
    "formats.py": _quantised,
    "packed.py": _quantised,
    "modelslim.py": lambda recipe: isinstance(recipe, Stored) and recipe.format == "modelslim",
    "ternary.py": lambda recipe: isinstance(recipe, Trained) and recipe.ternary_group is not None,
}


def _placeless(recipe: Recipe) -> Recipe:
    """Without the path of its model's files: they may be moved, and their content is covered."""
    return recipe if isinstance(recipe, Taught) else replace(recipe, base=called(recipe.base))


def recipe_digest(name: str, prompts_dir: Path, packages: Mapping[str, str]) -> str:
    """A hex digest that changes whenever the built twin would.

    It covers the recipe, the source that makes a twin of its kind, the prompt sets, and the versions of what trains it.

    Args:
        name: of the recipe.
        prompts_dir: the folder of prompt sets.
        packages: versions of that interpreter's packages, by name.

    Raises:
        ConfigError: there is no such recipe.
    """
    base, recipe = base_of(name), find_recipe(name)
    about = (called(name), _placeless(recipe), base and recipe_digest(base, prompts_dir, packages))
    digest = hashlib.sha256(repr(about).encode())
    source = [one for one in sorted(_SOURCE.glob("*.py")) if _COVERED_BY.get(one.name, _always)(recipe)]
    for path in [*source, *sorted(prompts_dir.glob("*.yaml"))]:
        content = path.read_bytes()
        # The length in front keeps "ab" + "c" from looking like "a" + "bc".
        digest.update(f"\n{path.name} {len(content)}\n".encode() + content)
    digest.update(repr([(package, packages.get(package)) for package in _PACKAGES]).encode())
    return digest.hexdigest()
