"""The noise floor of a model's run: what floor runs deviate from the reference at the same positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.errors import TraceError
from npu_conformance.measure.compare import compare_all
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.traces.trace import Trace, load_trace


@dataclass
class NoiseFloor:
    """Floor runs and the reference, compared once for all variants that are held against them."""

    reference: Trace
    runs: dict[str, Trace]
    """Floor runs by name."""
    found: Sequence[Comparison | TraceError] | None = None
    """What comparing each with the reference gave; None before."""

    @property
    def floor_runs(self) -> dict[str, Deviations]:
        """What each deviates.

        Raises:
            TraceError: one has logits that are not finite, or is not comparable.
        """
        if self.found is None:
            self.found = compare_all([(run, self.reference) for run in self.runs.values()])
        return {name: _finite(run, one) for (name, run), one in zip(self.runs.items(), self.found, strict=True)}


def _finite(run: Trace, found: Comparison | TraceError) -> Deviations:
    if isinstance(found, TraceError):
        raise found
    if bad := int((~found.finite).sum()):
        raise TraceError(
            f"{run.folder}: {bad} positions of the noise floor have logits that are not finite: the model "
            "overflows in this dtype; try another reference.attn_implementation"
        )
    return found.deviations


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
