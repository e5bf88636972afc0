"""`npu-conformance faults`: a campaign over several twins, two at a time, and its table."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from npu_conformance.faults.campaign import campaign
from npu_conformance.faults.judging import Judged
from npu_conformance.faults.results import Results, summarise
from npu_conformance.faults.table import table
from npu_conformance.progress import Narrator
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.storage import write_text


class Twin(NamedTuple):
    """A subject of a campaign."""

    model: str
    """Name of its config."""
    seed: int | None = None
    """It is trained from; None for its recipe's own."""

    @property
    def name(self) -> str:
        """For results."""
        return self.model if self.seed is None else f"{self.model}-seed{self.seed}"


DEVELOPMENT = Twin("Qwen3Guard-Gen-4B")
"""Strengths were fixed on it."""
JUDGED = (Twin("Qwen3Guard-Gen-4B", 21), Twin("BitCPM4-CANN-1B"), Twin("Qwen3.5-4B-Condenser"))
"""Another seed, and two other architectures."""


def faults(configs: Path, reports: Path, twins: Sequence[Twin] = (DEVELOPMENT, *JUDGED)) -> int:
    """Run the campaign, write its results, print the table; 0 where each kind is caught at its documented strength.

    Args:
        configs: folder of model configs.
        reports: folder in which the campaign's folder is made.
        twins: subjects, the development twin first.

    Raises:
        ConformanceError: a twin cannot be run.
    """
    folder = reports / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-faults"
    narrator = Narrator()

    def judge(twin: Twin) -> list[Judged]:
        settings = Settings(configs, twin=True, twin_seed=twin.seed)
        session = Session(settings, folder / twin.name, narrator)
        session.expect({twin.model: ("base",)})
        return list(campaign(session, twin.model, twin.name))

    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        judged = [one for found in pool.map(judge, twins) for one in found]
    results = summarise(twins[0].name, judged)
    write_text(folder / "faults.json", results.model_dump_json(indent=1))
    write_text(folder / "faults.md", table(results))
    print(table(results))
    print(folder / "faults.md")
    return 0 if _sharp(results) else 1


def _sharp(results: Results) -> bool:
    return results.false_alarms == 0 and all(kind.always for kind in results.kinds)
