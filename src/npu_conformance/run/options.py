"""The suite's options on pytest's command line, and the settings they make."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from npu_conformance.run.settings import Settings


def add_options(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    group = parser.getgroup("conformance", "precision conformance")
    add = group.addoption
    add("--twin", action="store_true", help="judge trained stand-ins instead of real weights")
    add(
        "--models-root",
        type=Path,
        metavar="DIR",
        help="look for weights here first, as DIR/<organisation>/<name>",
    )
    add("--candidate", choices=("vllm", "transformers"), default="vllm", help="engine under test")
    add("--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: what is found")
    add("--candidate-weights", type=Path, metavar="DIR", help="the candidate loads this checkpoint")
    add("--candidate-adapter", type=Path, metavar="DIR", help="the candidate loads this LoRA")
    add("--prompts", type=int, metavar="N", help="use N prompts, dealt from the model's sets")
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
    add("--reference-python", type=Path, metavar="PATH", help="interpreter of the reference's process")
    add(
        "--trust-remote-code",
        action="store_true",
        help="allow models whose YAML asks for it to run their own code",
    )
    add("--deadline", type=float, metavar="SECONDS", help="end a job that takes longer; default: the YAML's")
    add(
        "--conformance-plan",
        action="store_true",
        help="show what the selected tests would start, with estimates, and start nothing",
    )
    parser.addini("model_configs", "folder of model configs", default="model_configs")
    parser.addini("baselines", "folder of published figures and baselines", default="baselines")
    parser.addini("reports", "folder for reports", default="reports")


def settings_of(config: pytest.Config) -> Settings:
    """What the command line asked for.

    Raises:
        pytest.UsageError: it names something that is not there, or asks for what cannot be done together.
    """
    option = config.getoption
    configs = config.rootpath / config.getini("model_configs")
    if not configs.is_dir():
        raise pytest.UsageError(f"no folder of model configs at {configs}: run pytest from the suite's checkout")
    for name in ("models_root", "candidate_weights", "candidate_adapter", "from_dir"):
        if (path := option(name)) is not None and not path.is_dir():
            raise pytest.UsageError(f"--{name.removesuffix('_dir').replace('_', '-')} {path}: no such folder")
    if (python := option("reference_python")) is not None and not os.access(python, os.X_OK):
        raise pytest.UsageError(f"--reference-python {python}: no such interpreter")
    if (count := option("prompts")) is not None and count < 1:
        raise pytest.UsageError(f"--prompts {count}: at least 1 is needed")
    if option("conformance_plan") and option("dist", "no") != "no":
        raise pytest.UsageError("--conformance-plan: pytest-xdist would start its workers: leave out -n")
    return Settings(
        configs=configs,
        twin=option("twin"),
        models_root=option("models_root"),
        candidate=option("candidate"),
        device=option("device"),
        candidate_weights=option("candidate_weights"),
        candidate_adapter=option("candidate_adapter"),
        prompts=option("prompts"),
        from_dir=option("from_dir"),
        reference_python=option("reference_python"),
        trust_remote_code=option("trust_remote_code"),
        deadline=option("deadline"),
    )


def report_folder(config: pytest.Config) -> Path:
    """Where the run's report goes: a new folder, which pytest-xdist's workers are told."""
    if (given := getattr(config, "workerinput", {}).get("conformance_folder")) is not None:
        return Path(given)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    reports: str = config.getini("reports")
    return config.rootpath / reports / f"{stamp}-{os.getpid()}"


def baselines_folder(config: pytest.Config) -> Path:
    """Folder of published figures."""
    folder: str = config.getini("baselines")
    return config.rootpath / folder
