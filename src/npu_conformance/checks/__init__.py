"""The properties a model must have: one function each, from evidence to results with a verdict.

Figures are judged by published limits (`figures`), calibrated gates against the noise floor (`noise`); most others are
hard: every case must hold, and there must be one. Each module's checks are registered by importing it.
"""

from importlib import import_module
from pkgutil import iter_modules

from npu_conformance.checks.registry import CHECKS, Check

# From causes to what follows from them, as reports list them; a module that is not named here comes last.
_ORDER = ("weights", "inputs", "prompts", "finite", "tokens", "closeness", "noise", "layers", "batches", "variants")
for _name in dict.fromkeys((*_ORDER, *(module.name for module in iter_modules(__path__)))):
    import_module(f"{__name__}.{_name}")

CALIBRATED: tuple[Check, ...] = tuple(check for check in CHECKS.values() if check.calibrated)
"""Those that hold a candidate against the noise floor."""

__all__ = ["CALIBRATED", "CHECKS", "Check"]
