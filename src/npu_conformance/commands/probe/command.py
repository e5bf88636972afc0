"""`npu-conformance dev probe`: a twin through every point, and the report of it."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.subject import Subject
from npu_conformance.commands.console import say
from npu_conformance.commands.doctor.environment import VARIABLES
from npu_conformance.commands.probe.engines import Start, all_starts, run
from npu_conformance.commands.probe.findings import judged, needed
from npu_conformance.commands.probe.page import markdown, report
from npu_conformance.commands.probe.points import POINTS
from npu_conformance.commands.probe.seen import Seen
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import load_prompts
from npu_conformance.errors import ConfigError, PlanError, printable
from npu_conformance.machine.provenance import machine, package_versions
from npu_conformance.machine.storage import run_folder, write_json, write_text
from npu_conformance.run.build_twins import build_twins, twin_folder
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.preparation import prepare
from npu_conformance.run.settings import Settings
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator

RECIPE = "qwen3-guard"
_PROMPTS = 6
# Few short answers: what is asked is whether the machinery holds, not whether the model does.
CONFIG = ModelConfig.model_validate(
    {
        "model": "npu-conformance/probe",
        "twin": RECIPE,
        # Eager or not is said, so that an engine that does otherwise is told; all else of `as_served` is vLLM's choice.
        "serve": {"max_model_len": 2048, "enforce_eager": False},
        "prompts": [{"set": "general", "chat": False, "expect": False}],
        "max_tokens": 8,
    }
)


def probe(
    settings: Settings,
    reports: Path,
    output: Path | None = None,
    points: Sequence[str] = (),
    engines: Sequence[str] = (),
) -> int:
    """Print and write the report; 0 where nothing is wrong, 1 otherwise.

    Args:
        settings: where prompt sets are, and the platform that is insisted on.
        reports: folder in which the probe's folder is made.
        output: a folder, for `probe.json` and `probe.md` in it, or the name of one of them; the probe's folder if None.
        points: ids; all by default.
        engines: names; all by default.

    Raises:
        ConfigError: there is no such point or engine, or no engine is asked for a point.
        PlanError: no engine can be started here.
        ConformanceError: the twin cannot be built.
    """
    folder = run_folder(reports, "probe")
    points = _known(points, list(POINTS), "point")
    there = all_starts(CONFIG, settings.device)
    chosen = _known(engines, [start.name for start in there], "engine")
    starts = needed(points, there, chosen)
    if not starts:
        raise ConfigError(f"no engine of {', '.join(chosen)} is asked for {', '.join(points)}: choose others")
    if all(start.lacking for start in starts):
        raise PlanError(f"no engine can be started here: {starts[0].lacking}")
    began = time.monotonic()
    seen = _seen(starts, settings, folder)
    about = _about(seen) | {"seconds": round(time.monotonic() - began)}
    found = judged(points, starts, seen)
    content = report({name: by_engine for name, by_engine in found.items() if by_engine}, about)
    text = markdown(content)
    json_path, markdown_path = _paths(output or folder)
    write_json(json_path, content)
    write_text(markdown_path, printable(text))
    say(text, json_path, markdown_path)
    return int(any(point["verdict"] in ("wrong", "error") for point in content["points"]))


def _known(asked: Sequence[str], there: list[str], what: str) -> list[str]:
    if unknown := [name for name in asked if name not in there]:
        raise ConfigError(f"{unknown[0]}: no such {what} (there are {', '.join(there)})")
    return [name for name in there if name in asked] or there


def _seen(starts: Sequence[Start], settings: Settings, folder: Path) -> dict[str, Seen | str]:
    """What each engine that can be started here left, or why there is nothing."""
    jobs = Jobs(folder, Narrator())
    if error := build_twins([RECIPE], jobs).get(RECIPE):
        raise error
    twin, traces = twin_folder(RECIPE), folder / "traces"
    subject = Subject("probe", "twin", twin, twin)
    prompts = load_prompts(CONFIG.prompts, settings.prompts_dir, _PROMPTS)
    prepared = prepare(CONFIG, subject, prompts, traces, jobs, scored=False)
    candidates = Candidates(CONFIG, subject, prepared, traces, settings, jobs)
    return {
        start.name: run(start, candidates, settings.device, traces / "probe")
        for start in starts
        if start.lacking is None
    }


def _about(seen: dict[str, Seen | str]) -> dict[str, Any]:
    first = next((one for one in seen.values() if isinstance(one, Seen) and one.platform), Seen())
    watched = {one.name: os.environ[one.name] for one in VARIABLES if one.name in os.environ}
    return {
        "platform": first.platform or "no engine said",
        "device": first.device or "no engine said",
        "machine": machine(),
        "versions": package_versions(),
        "environment": watched or "nothing that changes numbers",
        "twin": RECIPE,
    }


def _paths(output: Path) -> tuple[Path, Path]:
    """Where JSON and Markdown go."""
    if output.suffix in (".json", ".md"):
        output = output.with_suffix("")
    elif output.is_dir() or not output.suffix:
        output = output / "probe"
    return output.with_name(f"{output.name}.json"), output.with_name(f"{output.name}.md")
