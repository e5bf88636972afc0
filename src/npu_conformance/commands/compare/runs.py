"""The traces of two report folders, paired, and what else differs between them, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from npu_conformance.config.variants import CATALOGUE, JUDGED, no_effect, scored_with, signs_of
from npu_conformance.errors import TraceError
from npu_conformance.machine.provenance import changed, made_by
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.growth import RunPair
from npu_conformance.measure.kept import COMPARISONS, compare_or_load
from npu_conformance.measure.results import Path as Path_
from npu_conformance.traces.reading import read_saved
from npu_conformance.traces.sealed import require_sealed
from npu_conformance.traces.tokens import comparable
from npu_conformance.traces.trace import PREFILL, Trace, load_trace

_MAPPING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class SavedRun:
    """A model in a variant, in one report folder."""

    report: Path
    model: str
    variant: str

    @property
    def traces(self) -> Path:
        """The model's folder of traces."""
        return self.report / "traces" / self.model

    @property
    def candidate(self) -> Trace:
        """The engine's run."""
        return load_trace(self.traces / self.variant / "candidate")

    @property
    def reference(self) -> Trace:
        """What it is held against."""
        return load_trace(self.traces / scored_with(self.variant) / "reference")

    @property
    def subject(self) -> dict[str, Any]:
        """The facts of the weights; empty where they were not kept."""
        return _saved(self.traces / "subject.json")

    @property
    def metrics_version(self) -> Any:
        """By which the report's figures were made; None where they were not kept."""
        return _saved(self.report / "details" / self.model / f"{self.variant}.json").get("metrics_version")


@cache
def comparison(side: SavedRun, path: Path_) -> Comparison | None:
    """A run against its reference; None where that path was not captured.

    Raises:
        TraceError: see `compare_or_load`.
    """
    run = side.candidate if path == "decode" else side.candidate.part(PREFILL)
    name = "reference" if path == "decode" else path
    kept = side.traces / side.variant / COMPARISONS / f"{name}.npz"
    return None if run is None else compare_or_load(run, side.reference, kept)


def held(report: Path) -> dict[str, list[str]]:
    """Variants that a report folder has traces of, by model; base and as_served first.

    Raises:
        TraceError: it has none.
    """
    found: dict[str, list[str]] = {}
    for path in sorted((report / "traces").glob("*/*/candidate/trace.json")):
        found.setdefault(path.parts[-4], []).append(path.parts[-3])
    if not found:
        run = _saved(report / "report.json").get("run")
        origin = run.get("judged_from") if isinstance(run, dict) else None
        other = "give the folder of a run that started engines" if origin is None else f"give {origin}, which it judged"
        raise TraceError(f"{report}: has no traces (traces/MODEL/VARIANT/candidate); {other}")
    return {
        model: sorted(names, key=lambda name: (name not in JUDGED, name != "base")) for model, names in found.items()
    }


def require_whole(side: SavedRun) -> None:
    """Refuse a run whose traces are not as it left them.

    Raises:
        TraceError: a file was changed, lost or added; names it.
    """
    require_sealed(side.traces, dict.fromkeys((side.variant, scored_with(side.variant))))


def pair(before: SavedRun, after: SavedRun) -> RunPair:
    """Both runs over the prompts that both have.

    Raises:
        TraceError: they cannot be compared; the message says why.
    """
    kinds = [side.subject.get("kind") for side in (before, after)]
    if kinds[0] != kinds[1]:
        raise TraceError(f"subject: {kinds[0]} before, {kinds[1]} now: a twin says nothing of its model")
    for side, when in ((before, "before"), (after, "now")):
        if (why := _says_nothing(side)) is not None:
            raise TraceError(f"{when}: {why}")
    mine, theirs = before.candidate, after.candidate
    shared = list(_shared(mine, theirs))
    if not shared:
        raise TraceError("no prompt is in both with the same token ids")
    chosen = ([first for first, _ in shared], [second for _, second in shared])
    found: dict[Path_, tuple[Deviations, Deviations]] = {}
    paths: tuple[Path_, ...] = ("decode", "prefill")
    for path in paths:
        then, now = comparison(before, path), comparison(after, path)
        if then is not None and now is not None:
            measured = then.deviations.choose(chosen[0])
            if not np.isfinite(measured.row).all():
                raise TraceError(f"the logits of {path} before are not all finite")
            found[path] = measured, now.deviations.choose(chosen[1])
    return RunPair(
        prompts=tuple(mine.answers[place].prompt for place in chosen[0]),
        paths=found,
        alike=tuple(_alike(mine, theirs, *places) for places in shared),
    )


def differences(before: SavedRun, after: SavedRun) -> Iterator[str]:
    """What differs between two runs besides their logits, a line each."""
    mine, theirs = before.candidate, after.candidate
    shared, names = list(_shared(mine, theirs)), [{one.prompt for one in run.answers} for run in (mine, theirs)]
    if len(shared) < max(map(len, names)):
        ids = len(names[0] & names[1]) - len(shared)
        yield (
            f"other prompts: {len(shared)} compared; {len(names[0] - names[1])} only before, "
            f"{len(names[1] - names[0])} only now, {ids} with other token ids or no answer"
        )
    weights = [side.subject.get("weights_digest") for side in (before, after)]
    if weights[0] != weights[1]:
        yield f"the candidate's weights changed: {weights[0]} before, {weights[1]} now"
    for name, then, now in changed(_setting(before.reference), _setting(after.reference)):
        # Each run is held against its own reference, so both numbers stand; what they are of does not.
        yield f"the reference's {name} changed: {then} before, {now} now"
    for name, then, now in changed(made_by(mine.provenance), made_by(theirs.provenance)):
        yield f"the candidate's {name} changed: {then} before, {now} now"
    if (mine.part(PREFILL) is None) != (theirs.part(PREFILL) is None):
        yield f"prefill was captured {'now' if mine.part(PREFILL) is None else 'before'} only"
    made = [side.metrics_version for side in (before, after)]
    if made[0] != made[1]:
        yield f"reports made by metrics version {made[0]} before and {made[1]} now; here by one version"


def _says_nothing(side: SavedRun) -> str | None:
    """Why a run cannot stand for its variant."""
    known = CATALOGUE.get(side.variant)
    if known is None:
        return None
    if known.tokens_only:
        return "its logits could not be seen"
    return no_effect(known.options, signs_of(side.variant, known.options), side.candidate.provenance)


def _shared(before: Trace, after: Trace) -> Iterator[tuple[int, int]]:
    """Indices of prompts with equal ids, of which both have a position."""
    places = {answer.prompt: place for place, answer in enumerate(after.answers)}
    for mine, answer in enumerate(before.answers):
        theirs = places.get(answer.prompt)
        if theirs is None or answer.prompt_ids != after.answers[theirs].prompt_ids:
            continue
        if before.judged(mine) and after.judged(theirs):
            yield mine, theirs


def _alike(before: Trace, after: Trace, mine: int, theirs: int) -> int:
    """Judged positions that had seen the same tokens."""
    same = comparable(before.answers[mine].token_ids, after.answers[theirs].token_ids)
    return min(same, before.judged(mine), after.judged(theirs))


def _setting(reference: Trace) -> dict[str, Any]:
    """Digest of its weights, dtype, attention, libraries."""
    setting: dict[str, Any] = reference.provenance.get("setting", {})
    return {**setting.get("versions", {}), **{name: told for name, told in setting.items() if name != "versions"}}


def _saved(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; an empty one where there is none.

    Raises:
        TraceError: it cannot be read, or holds something else.
    """
    if not path.exists():
        return {}
    return read_saved(path, _MAPPING)
