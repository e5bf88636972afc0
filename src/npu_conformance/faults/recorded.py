"""The recorded campaign: what reports quote next to a pass."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from npu_conformance.faults.catalogue import KINDS
from npu_conformance.faults.results import Results

RECORDED = Path(__file__).with_name("recorded.json")
"""Written by `npu-conformance faults --record`."""


@cache
def recorded() -> Results | None:
    """Results of the recorded campaign; None where none is."""
    return Results.model_validate_json(RECORDED.read_bytes()) if RECORDED.is_file() else None


def would_have_caught(check: str, prompts: int, parts: Sequence[str] = ()) -> tuple[tuple[str, float], ...]:
    """Kinds of faults with the weakest strength of each from which on a check caught it on every twin.

    Args:
        check: name of the property.
        prompts: of the run; nothing is said of one that has fewer than the campaign had.
        parts: of the model, that only some have; kinds of others are left out.
    """
    results = recorded()
    if results is None or prompts < results.prompts:
        return ()
    there = [kind for kind in results.kinds if KINDS[kind.kind].needs in (None, *parts)]
    found = ((kind.kind, kind.smallest(check)) for kind in there)
    return tuple((kind, strength) for kind, strength in found if strength is not None)
