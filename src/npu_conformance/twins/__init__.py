"""Twins: small trained stand-ins for models whose weights are not at hand.

A twin has its model's architecture class, checkpoint format and form of chat template, so the whole path runs on
any machine. It never counts as the model.
"""

from npu_conformance.twins.build import build
from npu_conformance.twins.digest import recipe_digest
from npu_conformance.twins.finding import architecture_of, base_of, called, find_recipe
from npu_conformance.twins.recipes import RECIPES, Adapted

__all__ = ["RECIPES", "Adapted", "architecture_of", "base_of", "build", "called", "find_recipe", "recipe_digest"]
