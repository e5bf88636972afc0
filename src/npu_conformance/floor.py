"""The noise floor of a model's run: what other realisations deviate from the reference at the same positions."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from npu_conformance.deviations import Deviations, deviations
from npu_conformance.realisations import FLOOR
from npu_conformance.ties import TieWidths, tie_widths
from npu_conformance.trace import Trace, load_trace


@dataclass(frozen=True)
class NoiseFloor:
    """Realisations and the reference, measured once for all variants that are held against them."""

    reference: Trace
    runs: dict[str, Trace]
    """Realisations by name."""

    @cached_property
    def realised(self) -> dict[str, Deviations]:
        """What each deviates (see `deviations` for what it raises)."""
        return {name: deviations(run, self.reference) for name, run in self.runs.items()}

    @cached_property
    def ties(self) -> TieWidths:
        """How near two tokens must be for rounding to exchange them."""
        return tie_widths(self.realised)


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
