"""What failed of a model, grouped by cause: a place to begin, and the checks that may only follow from it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from npu_conformance.checks import CHECKS
from npu_conformance.config.variants import JUDGED
from npu_conformance.measure.results import Result, worst
from npu_conformance.report.model import ModelReport
from npu_conformance.report.rows import variant_rows

# They name a layer, and come first of what is near: before the other the one that no error of an earlier layer reaches.
_NAMES_LAYER = ("layers_over_floor", "hidden_states")
_ORDER = sorted(
    CHECKS,
    key=lambda name: (("input", "near", "itself", None).index(CHECKS[name].cause), (*_NAMES_LAYER, name).index(name)),
)
_FIRST_POINT = re.compile(r"first (?:beyond )?at (?P<point>[^:]+)")


@dataclass(frozen=True)
class Cause:
    """Failures that may have one cause."""

    variants: tuple[str, ...]
    """Where they are seen; what is shown is of the first."""
    first: tuple[Result, ...]
    """What to look at first: one number of a check, each nearest to the cause."""
    layer: str | None
    """The first bad layer by its module's name; None where no check names one."""
    layers_well: bool
    """Whether each attention and MLP was looked at, and none is beyond its floor."""
    points_at: str | None
    """What decode, prefill and reference together point at; None where they do not tell."""
    changes: str | None
    """What the variants change of base, where base is well."""
    follows: tuple[str, ...]
    """Checks that may only follow."""


def verdicts(model: ModelReport) -> dict[tuple[str, str], str]:
    """The verdict of each check, by variant and check: its worst number's."""
    found: dict[tuple[str, str], list[Result]] = {}
    for check in model.checks:
        found.setdefault((check.variant, check.check), []).append(check)
    return {key: worst(check.verdict for check in checks) for key, checks in found.items()}


def causes(model: ModelReport) -> list[Cause]:
    """A cause for base and whatever fails as base does; then one for each other set of failures."""
    names = [row.name for row in variant_rows(model)]
    failing = {name: failed for name in names if (failed := _failing(model, name))}
    in_base = failing.get("base", frozenset())
    groups: dict[frozenset[str], list[str]] = {}
    for name, failed in failing.items():
        own = failed if name == "base" or not failed <= in_base else in_base
        groups.setdefault(own, []).append(name)
    return [_cause(model, variants, failed, in_base) for failed, variants in groups.items()]


def _cause(model: ModelReport, variants: Sequence[str], failed: frozenset[str], in_base: frozenset[str]) -> Cause:
    variant = variants[0]
    # What base has too is said there.
    ordered = _ordered(failed if variant == "base" else (failed - in_base) or failed)
    inputs, alone = ([name for name in ordered if CHECKS[name].cause == kind] for kind in ("input", "itself"))
    rest = [name for name in ordered if name not in (*inputs, *alone)]
    shown = (inputs or rest[:1]) + alone
    rows = {row.name: row for row in variant_rows(model)}
    differ = [rows[name].changes for name in variants if name not in JUDGED and rows[name].changes]
    return Cause(
        variants=tuple(variants),
        first=tuple(_worst_of(model, variant, name) for name in shown),
        layer=_first_layer(model, variant, ordered),
        layers_well="base" in variants and verdicts(model).get(("base", _NAMES_LAYER[0])) == "pass",
        points_at=_points_at(model, variant),
        changes="; ".join(differ) if differ and not in_base else None,
        follows=tuple(name for name in rest if name not in shown),
    )


def _failing(model: ModelReport, variant: str) -> frozenset[str]:
    return frozenset(
        check for (where, check), verdict in verdicts(model).items() if (where, verdict) == (variant, "fail")
    )


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=_ORDER.index)


def _worst_of(model: ModelReport, variant: str, name: str) -> Result:
    """The first number of a check that fails."""
    return next(one for one in model.checks if (one.variant, one.check, one.verdict) == (variant, name, "fail"))


def _first_layer(model: ModelReport, variant: str, failed: Sequence[str]) -> str | None:
    """The earliest point that the first failing check names of those that name one; its numbers may differ."""
    check = next((name for name in _NAMES_LAYER if name in failed), None)
    points = [
        match["point"].strip()
        for one in model.checks
        if (one.variant, one.check, one.verdict) == (variant, check, "fail")
        and (match := _FIRST_POINT.search(one.where or ""))
    ]
    order = {row.point: place for found in model.variants for place, row in enumerate(found.layers)}
    return min(points, key=lambda point: order.get(point, -1)) if points else None


def _points_at(model: ModelReport, variant: str) -> str | None:
    found = next((one.three_way for one in model.variants if one.variant == variant), None)
    return None if found is None or (found.decode and found.prefill and found.own) else found.implicates
