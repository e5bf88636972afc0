"""The suite's options on pytest's command line, and the settings they make."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.config.model import config_names
from npu_conformance.errors import ConfigError
from npu_conformance.machine.storage import run_folder
from npu_conformance.report.words import CHOICES
from npu_conformance.run.settings import Settings, add_candidate_options, add_subject_options


def add_options(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    add_run_options(parser.getgroup("conformance", "precision conformance").addoption)
    parser.addini("model_configs", "folder of model configs", default="model_configs")
    parser.addini("baselines", "folder of published figures and baselines", default="baselines")
    parser.addini("reports", "folder for reports", default="reports")


def add_run_options(add: Callable[..., Any]) -> None:
    """Declare the suite's options, of pytest and of `npu-conformance run`."""
    add_subject_options(add)
    add_candidate_options(add)
    add("--serving", action="store_true", help="judge each model behind vLLM's server too, as the variant of this name")
    add(
        "--require-weights",
        action="store_true",
        help="missing weights are an error (exit status 4), not a skip",
    )
    add("--require-confidence", action="store_true", help="inconclusive fails")
    add(
        "--from",
        type=Path,
        dest="from_dir",
        metavar="DIR",
        help="judge the traces of this report folder again",
    )
    add(
        "--performance",
        action="store_true",
        help="measure the engine's speed as it is served too, by vllm bench; see docs/performance.md",
    )
    add(
        "--keep-traces",
        action="store_true",
        help="keep the logits of variants that passed; default: what was measured of them, and base's logits",
    )
    add(
        "--baseline",
        choices=("create", "update", "only", "alone"),
        metavar="{create,update,only}",
        help="create or update the baseline of each model that passes; or judge by the baselines only, "
        "computing no reference",
    )
    add("--reason", metavar="TEXT", help="why a baseline is updated")
    add(
        "--report-lang",
        choices=tuple(CHOICES),
        default="both",
        help="language of pages and cards: English, Chinese, or both (default)",
    )
    add(
        "--conformance-plan",
        action="store_true",
        help="show what the selected tests would start, with estimates, and start nothing",
    )


def settings_of(config: pytest.Config) -> Settings:
    """What the command line asked for.

    Raises:
        pytest.UsageError: it names something that is not there, or asks for what cannot be done together.
    """
    _take_older_words(config)
    option = config.getoption
    configs = config.rootpath / config.getini("model_configs")
    if not configs.is_dir():
        raise pytest.UsageError(
            f"no folder of model configs at {configs}: start this where there is one, name another "
            "(npu-conformance run FOLDER), or make one (npu-conformance init DIR)"
        )
    if not config_names(configs):
        raise pytest.UsageError(f"no model config in {configs}: expected files such as {configs}/Qwen3-8B.yaml")
    if option("conformance_plan") and option("dist", "no") != "no":
        raise pytest.UsageError("--conformance-plan: pytest-xdist would start its workers: leave out -n")
    names = [field.name for field in dataclasses.fields(Settings) if field.name in vars(config.option)]
    settings = Settings(configs=configs, baselines=baselines_folder(config), **{name: option(name) for name in names})
    try:
        settings.check()
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error
    return settings


def _take_older_words(config: pytest.Config) -> None:
    """What scripts of before say, with a line that says what it is called now; pytest-xdist's workers get the new."""
    if config.option.baseline == "alone":
        config.option.baseline = "only"
        config.issue_config_time_warning(
            pytest.PytestConfigWarning("--baseline=alone is now called --baseline=only"), stacklevel=2
        )


def report_folder(config: pytest.Config) -> Path:
    """Where the run's report goes: a new folder, which pytest-xdist's workers are told."""
    if (given := getattr(config, "workerinput", {}).get("conformance_folder")) is not None:
        return Path(given)
    reports: str = config.getini("reports")
    return run_folder(config.rootpath / reports)


def baselines_folder(config: pytest.Config) -> Path:
    """Folder of published figures."""
    folder: str = config.getini("baselines")
    return config.rootpath / folder
