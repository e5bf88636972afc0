"""The engines of a probe: which are started here, what each is asked, and how one is run."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from npu_conformance.commands.probe.asking import KILLED, MEASURED
from npu_conformance.commands.probe.memory import Measure
from npu_conformance.commands.probe.seen import Seen
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE
from npu_conformance.errors import ConformanceError, JobError
from npu_conformance.machine.devices import Device, Platform, find_devices
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.lacking import lacking
from npu_conformance.workers.job import ProbeJob

PLAIN, LORA, KILL = "eager", "lora", "killed"
_DEADLINE = 600.0
_LAYER_PROMPTS = 2
# Rows at each of these are held against their tokens and requests; a mode's own name is the catalogue's.
_ROWS = ("mode", "alone", "batch")


class Start(NamedTuple):
    """An engine to start."""

    name: str
    options: dict[str, Any]
    pieces: tuple[str, ...]
    lacking: str | None
    """Why it cannot be started here."""


def all_starts(config: ModelConfig, device: Platform | None) -> list[Start]:
    """Every engine that a probe knows, in the order they are started.

    Args:
        config: of the twin.
        device: the platform that is insisted on; None for what is found.
    """
    platform = find_devices(device)[0]
    graphs = [name for name, known in CATALOGUE.items() if name.startswith("graph_") and known.platform == platform]
    plans = {
        PLAIN: ("base", (*_ROWS, "forced", "prefill", "hidden", "held")),
        "as_served": ("as_served", (*_ROWS, "forced")),
        **{name: (name, (*_ROWS, "forced")) for name in graphs},
        # Whether an engine takes it up is seen by its rows alone; where it does not, they say nothing.
        "async_scheduling": ("async_scheduling", (*_ROWS, "forced")),
        "tp2": ("tp2", (*_ROWS, "ranks")),
        LORA: ("base", ("lora",)),
        KILL: ("base", ("killed",)),
    }
    return [
        Start(name, config.options(variant), pieces, lacking(config, variant, device, lambda: None))
        for name, (variant, pieces) in plans.items()
    ]


def run(start: Start, candidates: Candidates, device: Platform | None, folder: Path) -> Seen | str:
    """Start an engine and ask it; what was seen, or why there is nothing."""
    try:
        return _run(start, candidates, device, folder)
    except ConformanceError as error:
        return str(error)


def _run(start: Start, candidates: Candidates, device: Platform | None, folder: Path) -> Seen:
    output, stop, platform = folder / f"{start.name}.json", threading.Event(), find_devices(device)[0]
    killed = "killed" in start.pieces
    measure = Measure(platform, killed=killed) if killed or "held" in start.pieces else None

    def look(phase: str, lent: Sequence[Device]) -> None:
        if measure is not None and phase in (MEASURED, KILLED) and not stop.is_set():
            measure.look(lent, output.with_suffix(".measured"))
            if killed:
                stop.set()

    job = ProbeJob.model_validate(
        candidates.job("base").model_dump(exclude={"kind"})
        | {"output": output, "options": start.options, "layer_prompts": _LAYER_PROMPTS, "pieces": start.pieces}
    )
    try:
        candidates.run(job, f"probe {start.name}", [start.options], _DEADLINE, look=look, stop=stop)
    except JobError:
        if not stop.is_set() and not output.is_file():  # else it was killed as planned, or ended while closing
            raise
    seen = Seen() if killed else Seen.model_validate_json(output.read_bytes())
    if measure is None:
        return seen
    try:
        return seen.model_copy(update={"held": measure.after()})
    except JobError as error:
        return seen.model_copy(update={"errors": seen.errors | {"held": str(error)}})
