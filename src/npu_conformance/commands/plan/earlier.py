"""What engines took in earlier runs, from the reports they left."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter

from npu_conformance.errors import TraceError
from npu_conformance.machine.provenance import Provenance
from npu_conformance.traces.reading import read_saved


@dataclass(frozen=True)
class Earlier:
    """What an engine took the last time."""

    seconds: float
    """From its start to its end."""
    memory: float | None
    """Most bytes its process held; None where that was not measured."""


def last_time(reports: Path, model: str, variant: str, *, kind: str, candidate: str, platform: str) -> Earlier | None:
    """What the newest report says of a model's variant; None where no report is of the same kind of run.

    Args:
        reports: folder of report folders, whose names begin with the time.
        model: the model's name.
        variant: the variant's.
        kind: `real` or `twin`: a twin's times say nothing of its model.
        candidate: the engine, as `--candidate` names it.
        platform: `npu`, `cuda` or `cpu`.
    """
    if not reports.is_dir():
        return None
    for folder in sorted((one for one in reports.iterdir() if one.is_dir() and not one.is_symlink()), reverse=True):
        place = folder / "details" / model
        found = _read(place / f"{variant}.json").candidate
        same = _read(place / "subject.json").kind == kind
        if same and (found.get("engine"), found.get("platform")) == (candidate, platform):
            return _earlier(found)
    return None


class _Told(BaseModel):
    """What is asked of a file of details."""

    candidate: Provenance = Field(default_factory=Provenance)
    kind: str = ""


_TOLD = TypeAdapter(_Told)


def _read(path: Path) -> _Told:
    """What a file says; nothing where it is not there, or of an older make."""
    try:
        return read_saved(path, _TOLD)
    except TraceError:
        return _Told()


def _earlier(provenance: Provenance) -> Earlier:
    peak = provenance.get("peak_rss_gib")
    return Earlier(
        seconds=sum(provenance.get("seconds", {}).values()), memory=None if peak is None else float(peak) * 2**30
    )
