"""What engines took in earlier runs, from the reports they left."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
        found = _read(place / f"{variant}.json").get("candidate") or {}
        same = _read(place / "subject.json").get("kind") == kind
        if same and (found.get("engine"), found.get("platform")) == (candidate, platform):
            return _earlier(found)
    return None


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; an empty one for a file that is not there, or of an older make."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _earlier(provenance: dict[str, Any]) -> Earlier:
    peak = provenance.get("peak_rss_gib")
    return Earlier(
        seconds=sum(provenance.get("seconds", {}).values()), memory=None if peak is None else float(peak) * 2**30
    )
