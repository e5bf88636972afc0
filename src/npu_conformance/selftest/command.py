"""`npu-conformance dev faults` and `false-alarms`: studies over several twins, one a core, and their tables."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import TypeAdapter

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.machine.storage import run_folder, write_text
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.selftest.alarms import PROMPTS, Alarms, alarms, alarms_table, rate
from npu_conformance.selftest.campaign import campaign
from npu_conformance.selftest.catalogue import known
from npu_conformance.selftest.judging import Judged
from npu_conformance.selftest.over_http import OverHttp, over_http, over_http_table
from npu_conformance.selftest.recorded import record as keep
from npu_conformance.selftest.results import summarise
from npu_conformance.selftest.table import table
from npu_conformance.workers.progress import Narrator

Found = TypeVar("Found")


class Twin(NamedTuple):
    """A subject of a study."""

    model: str
    """Name of its config."""
    recipe: str
    """Of the twin; what results call it."""
    prompts: int = 40
    """That faults are tried on."""


DEVELOPMENT = (Twin("Qwen3Guard-Gen-4B", "qwen3-guard"), Twin("Qwen3Guard-Gen-4B", "qwen3-unsure", 80))
"""Strengths were fixed on them: a twin that is sure of its words, and one that is not, whose ties are few a prompt."""
JUDGED = (
    Twin("Qwen3.5-4B-Condenser", "qwen3.5-condenser"),
    Twin("BitCPM4-CANN-1B", "bitcpm4"),
    Twin("Qwen1.5-MoE-A2.7B-Chat", "qwen2-moe"),
    Twin("Qwen3Guard-Gen-4B", "qwen3-guard-seed21"),
    Twin("Qwen3Guard-Gen-4B", "qwen3-unsure-seed21", 80),
)
"""Three other architectures, of which the first takes longest, and other seeds."""
ALL = (*JUDGED, *DEVELOPMENT)
OVER_HTTP = DEVELOPMENT[0]
"""The twin whose server is given faults."""
_OVER_HTTP = """# Faults that are caught over HTTP

Written by `npu-conformance dev faults --over-http --record docs`. How a server is judged:
[over-http.md](over-http.md).

"""
_INTRODUCTION = """# Faults that are caught, and by what

Written by `npu-conformance dev faults --record`. How to read it is in [verdict.md](verdict.md).

"""


def faults(configs: Path, reports: Path, kinds: Sequence[str] = (), record: Path | None = None) -> int:
    """Put faults into twins and print which are caught; 0 where each kind is, at its documented strength.

    Args:
        configs: folder of model configs.
        reports: folder in which the study's folder is made.
        kinds: of the catalogue; all by default.
        record: folder of docs; the results become those that docs and reports quote.

    Raises:
        ConfigError: there is no such kind.
        TraceError: a forced decode without a fault was flagged.
        ConformanceError: a twin cannot be run.
    """
    if kinds and record is not None:
        raise ConfigError("--record is of all kinds: leave out --kinds")
    kinds, folder = known(kinds), run_folder(reports, "faults")

    def study(session: Session, model: str, subject: str) -> list[Judged]:
        return list(campaign(session, model, subject, kinds))

    judged = _over(ALL, configs, folder, study)
    development = [twin.recipe for twin in DEVELOPMENT]
    results = summarise(development, kinds, [one for found in judged for one in found])
    page = table(results)
    _leave(folder, "faults", results.model_dump_json(indent=1), page)
    if results.false_alarms:
        raise TraceError(f"{folder}: a run without a fault was flagged, so the others say nothing: see faults.json")
    if record is not None:
        write_text(record / "faults.md", f"{_INTRODUCTION}{page}")
        keep(results)
    return 0 if all(kind.always for kind in results.kinds) else 1


def faults_over_http(configs: Path, reports: Path, kinds: Sequence[str] = (), record: Path | None = None) -> int:
    """Put faults into a twin's server and print which are caught; 0 where each is that is caught inside its engine.

    See `faults` for what it takes and raises.
    """
    kinds, folder, twin = known(kinds), run_folder(reports, "faults-over-http"), OVER_HTTP
    settings = Settings(configs, twin=True, twin_recipe=twin.recipe, prompts=twin.prompts)
    found = over_http(Session(settings, folder, Narrator()), twin.model, twin.recipe, kinds)
    page = over_http_table(twin.recipe, twin.prompts, found)
    _leave(folder, "over_http", TypeAdapter(list[OverHttp]).dump_json(found, indent=1).decode(), page)
    if record is not None:
        write_text(record / "faults-over-http.md", f"{_OVER_HTTP}{page}")
    clean, *faulty = found
    return int(bool(clean.over_http) or any(one.inside and not one.over_http for one in faulty))


def false_alarms(configs: Path, reports: Path) -> int:
    """Judge prompt sets of twins with nothing wrong; 0 where the suite fails no more often than stated.

    Args:
        configs: folder of model configs.
        reports: folder in which the study's folder is made.

    Raises:
        ConformanceError: a twin cannot be run.
    """
    folder = run_folder(reports, "false-alarms")
    found = _over(ALL, configs, folder, alarms, PROMPTS)
    _leave(folder, "false_alarms", TypeAdapter(list[Alarms]).dump_json(found, indent=1).decode(), alarms_table(found))
    engine = [count for one in found for count in one.engine]
    floor_runs = [count for one in found for count in one.floor_runs]
    return 0 if max(rate(engine), rate(floor_runs)) <= FALSE_ALARMS else 1


def _over(
    twins: Sequence[Twin],
    configs: Path,
    folder: Path,
    study: Callable[[Session, str, str], Found],
    prompts: int | None = None,
) -> list[Found]:
    """What a study finds on each twin; each has a core of its own, for engines that share one wait for each other."""
    narrator, cores = Narrator(), sorted(os.sched_getaffinity(0))
    free = iter(cores)

    def ask(twin: Twin) -> Found:
        settings = Settings(configs, twin=True, twin_recipe=twin.recipe, prompts=prompts or twin.prompts)
        return study(Session(settings, folder / twin.recipe, narrator), twin.model, twin.recipe)

    # Of this thread, and of the processes that it starts.
    with ThreadPoolExecutor(len(cores), initializer=lambda: os.sched_setaffinity(0, {next(free)})) as pool:
        return list(pool.map(ask, twins))


def _leave(folder: Path, name: str, found: str, page: str) -> None:
    write_text(folder / f"{name}.json", found)
    write_text(folder / f"{name}.md", page)
    print(page)
    print(folder / f"{name}.md")
