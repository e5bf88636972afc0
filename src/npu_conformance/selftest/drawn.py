"""Some prompts of a run as a run of their own: nothing is computed or compared again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.pair import Pair
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.floor import FloorRun, NoiseFloor
from npu_conformance.traces.trace import Trace

_NOWHERE = Path("/dev/null")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Drawn(Evidence):
    """Evidence on some prompts of a run."""

    compared: Mapping[str, Comparison] = field(default_factory=dict)
    """What the run compared, of these prompts, by the name of the pair."""

    def _pair(self, name: str, *args: Any, **named: Any) -> Pair:
        return replace(super()._pair(name, *args, **named), found=self.compared[name])


def draw(evidence: Evidence, chosen: Sequence[int]) -> Drawn:
    """Some prompts of a run; what was measured of its layers stays that of the run.

    Args:
        evidence: of the run, in base.
        chosen: places of the prompts.
    """
    compared = {name: pair.comparison.choose(chosen) for name, pair in evidence.pairs.items()}
    runs = {} if evidence.noise is None else evidence.noise.runs
    drawn = {name: replace(run, comparison=run.comparison.choose(chosen)) for name, run in runs.items()}
    changed = {
        "prompts": _some(evidence.prompts, chosen),
        "candidate": _answers(evidence.candidate, chosen),
        "reference": _answers(evidence.reference, chosen),
        "second_ids": None if evidence.second_ids is None else _some(evidence.second_ids, chosen),
        "noise": NoiseFloor(drawn),
        "compared": compared,
    }
    return Drawn(**{one.name: getattr(evidence, one.name) for one in fields(evidence)} | changed)


def floor_run_as_candidate(drawn: Drawn, name: str) -> Drawn:
    """A floor run in the candidate's place, against the others; of decode alone, and of whole logits."""
    runs: dict[str, FloorRun] = dict(drawn.noise.runs) if drawn.noise else {}
    own = runs.pop(name)
    return replace(
        drawn,
        candidate=replace(drawn.candidate, folder=_NOWHERE),
        noise=NoiseFloor(runs),
        module_errors=None,
        compared={"reference": own.comparison},
    )


def _answers(trace: Trace, chosen: Sequence[int]) -> Trace:
    return replace(trace, answers=_some(trace.answers, chosen))


def _some(items: Sequence[Item], chosen: Sequence[int]) -> tuple[Item, ...]:
    return tuple(items[index] for index in chosen)
