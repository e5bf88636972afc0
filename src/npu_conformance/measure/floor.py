"""The noise floor of a model's run: what other realisations deviate from the reference at the same positions."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from npu_conformance.errors import TraceError
from npu_conformance.measure.deviations import Deviations, deviations
from npu_conformance.measure.metrics import finite
from npu_conformance.measure.realisations import FLOOR
from npu_conformance.traces.trace import Trace, load_trace


@dataclass(frozen=True)
class NoiseFloor:
    """Realisations and the reference, measured once for all variants that are held against them."""

    reference: Trace
    runs: dict[str, Trace]
    """Realisations by name."""

    @cached_property
    def realised(self) -> dict[str, Deviations]:
        """What each deviates.

        Raises:
            TraceError: one has logits that are not finite, or is not comparable (see `deviations`).
        """
        for run in self.runs.values():
            if bad := sum(int((~finite(run.logits(index))).sum()) for index in range(len(run.answers))):
                raise TraceError(
                    f"{run.folder}: {bad} positions of the noise floor have logits that are not finite: the model "
                    "overflows in this dtype; try another reference.attn_implementation"
                )
        return {name: deviations(run, self.reference) for name, run in self.runs.items()}


def load_floor(scored: Path) -> NoiseFloor | None:
    """The noise floor that a run left; None where it left none.

    Args:
        scored: folder of the variant whose tokens were scored.

    Raises:
        TraceError: a trace is damaged.
    """
    folders = sorted(folder for folder in (scored / FLOOR).glob("*") if folder.is_dir())
    if not folders:
        return None
    return NoiseFloor(load_trace(scored / "reference"), {folder.name: load_trace(folder) for folder in folders})
