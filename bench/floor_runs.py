"""How many floor runs the verdict takes: its false alarms with all four, and with fewer of the same.

`python -m bench.floor_runs`: twins without a fault, as `npu-conformance dev false-alarms` has them.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from npu_conformance.checks.evidence import Evidence
from npu_conformance.machine.storage import run_folder
from npu_conformance.measure.floor import NoiseFloor
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.selftest.alarms import PROMPTS, Alarms, alarms_of
from npu_conformance.selftest.campaign import base_evidence
from npu_conformance.selftest.command import ALL
from npu_conformance.workers.progress import Narrator

_FEWER = (
    ("sdpa", "eager", "dithered1", "dithered2"),
    ("sdpa", "dithered1", "dithered2"),
    ("sdpa", "eager", "dithered1"),
    ("sdpa", "dithered1"),
)


def main() -> None:
    """Judge, print."""
    folder = run_folder(Path("reports"), "floor-runs")
    found = [list(_with_fewer(_evidence(folder / twin.recipe, twin.model, twin.recipe), twin.recipe)) for twin in ALL]
    print("| floor runs | sets of the engine that fail | sets of floor runs that fail |\n| --- | --- | --- |")
    for names, of_twins in zip(_FEWER, zip(*found, strict=True), strict=True):
        print(f"| {', '.join(names)} | {_failed(of_twins, 'engine')} | {_failed(of_twins, 'floor_runs')} |")


def _evidence(folder: Path, model: str, recipe: str) -> Evidence:
    settings = Settings(Path("model_configs"), twin=True, twin_recipe=recipe, prompts=PROMPTS)
    return base_evidence(Session(settings, folder, Narrator()), model)


def _with_fewer(evidence: Evidence, subject: str) -> Iterator[Alarms]:
    runs = {} if evidence.noise is None else evidence.noise.runs
    for names in _FEWER:
        yield alarms_of(replace(evidence, noise=NoiseFloor({name: runs[name] for name in names})), subject)


def _failed(found: tuple[Alarms, ...], side: str) -> str:
    counts = [count for one in found for count in getattr(one, side)]
    failed, sets = sum(one.failed for one in counts), sum(one.sets for one in counts)
    return f"{failed} of {sets:,} ({failed / sets:.1%})"


if __name__ == "__main__":
    main()
