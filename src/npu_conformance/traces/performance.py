"""`performance.json` beside a model's traces: what `vllm bench` measured of the engine as it is served."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from npu_conformance.config.performance import FIGURES, Workload
from npu_conformance.machine.storage import write_text
from npu_conformance.traces.reading import read_saved

PERFORMANCE = "performance.json"
_SECONDS = {"_per_s": "/s", "_ms": "ms", "_s": "s", "_gib": "GiB", "_tokens": "tokens"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Figure(_Part):
    """A number that was measured."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """In the unit that its name ends in."""
    n: Annotated[int, Field(ge=1)]
    """Requests, iterations or engines that it rests on."""


class Bench(_Part):
    """What one tool left."""

    figures: dict[str, Figure]
    """By name, see `config.performance`."""
    command: tuple[str, ...]
    """Command lines, as somebody would type them."""

    @field_validator("figures")
    @classmethod
    def _known(cls, figures: dict[str, Figure]) -> dict[str, Figure]:
        if unknown := [name for name in figures if name not in FIGURES]:
            raise ValueError(f"{unknown[0]}: is no figure of performance")
        return figures


class Performance(_Part):
    """What was measured of a model."""

    format: Literal[1] = 1
    workload: Workload
    device: str
    """The device that the engine ran on."""
    versions: dict[str, str]
    """Of the engine's packages."""
    load: float | None = None
    """Load average of the machine before it began: what else was running."""
    tools: dict[str, Bench]
    """By tool: `latency`, `throughput`, `serve` and `reference`."""
    not_measured: dict[str, str] = {}
    """Why a tool was not run, by tool."""
    failed: dict[str, str] = {}
    """Why one failed."""

    @property
    def figures(self) -> dict[str, Figure]:
        """All of them, in the order in which they are shown."""
        found = {name: one for bench in self.tools.values() for name, one in bench.figures.items()}
        return {name: found[name] for name in FIGURES if name in found}

    def tool_of(self, figure: str) -> str | None:
        """What measured a figure."""
        return next((tool for tool, bench in self.tools.items() if figure in bench.figures), None)


_FORM = TypeAdapter(Performance)


def save_performance(traces: Path, found: Performance) -> None:
    """Write it beside a model's traces."""
    write_text(traces / PERFORMANCE, found.model_dump_json(indent=1) + "\n")


def load_performance(traces: Path) -> Performance | None:
    """What a run measured; None where it measured nothing.

    Raises:
        TraceError: it cannot be read, or is something else.
    """
    path = traces / PERFORMANCE
    return read_saved(path, _FORM) if path.is_file() else None


def unit(figure: str) -> str:
    """The unit of a figure, as its name ends in it."""
    return next((shown for end, shown in _SECONDS.items() if figure.endswith(end)), "×")


def speed_ratio(figure: str, now: float, before: float) -> float | None:
    """How much faster a figure is than it was: above 1 it is faster, also for a time.

    None where nobody can tell: a time of 0 is shorter than the digits in which it was told, by whatever factor.
    """
    if now == before:
        return 1.0
    above, below = (before, now) if FIGURES[figure] == "time" else (now, before)
    if before == 0 or below == 0:
        return None
    ratio = above / below
    return ratio if isfinite(ratio) else None


def differences(now: Performance, before: Performance) -> Mapping[str, tuple[str, str]]:
    """What keeps two from being compared, before and now."""
    pairs = {"device": (before.device, now.device)}
    asked, was = now.workload.model_dump(), before.workload.model_dump()
    # What the reference decodes is none of the engine's.
    pairs |= {name: (str(was[name]), str(asked[name])) for name in asked if name != "reference_tokens"}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
