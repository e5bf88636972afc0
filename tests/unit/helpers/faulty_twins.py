"""Twins to damage: each as it is published, and what the suite says of a damaged one."""

import subprocess
import sys
from pathlib import Path

from npu_conformance.run.build_twins import build_twins, twin_folder
from npu_conformance.workers.jobs import Jobs
from tests.unit.helpers.suite_runs import Outcome, judge

RECIPES = {
    "Qwen3-4B-FP8": "qwen3-fp8",
    "Qwen3-1.7B-GPTQ-Int8-FP16": "qwen3-gptq-int8",
    "BitCPM4-CANN-1B": "bitcpm4",
    "Qwen3.5-4B-Condenser": "qwen3.5-condenser",
    "Qwen3Guard-Gen-4B": "qwen3-guard",
}


class Twins(dict[str, Path]):
    """Folders by model, each built when it is first asked for: training takes a minute."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs

    def __missing__(self, model: str) -> Path:
        assert build_twins([RECIPES[model]], self._jobs) == {}
        self[model] = twin_folder(RECIPES[model])
        return self[model]


def run_python(code: str, *arguments: Path) -> None:
    """Change tensors in a process of its own, for this one imports no torch."""
    preamble = "import sys, json, torch\nfrom safetensors.torch import load_file, save_file\n"
    subprocess.run([sys.executable, "-c", preamble + code, *map(str, arguments)], check=True)


def judged(model: str, folder: Path, *words: str) -> Outcome:
    """The suite's verdict on the model's twin in its base variant."""
    return judge(folder, "--twin", "-k", f"{model}-base", *words)
